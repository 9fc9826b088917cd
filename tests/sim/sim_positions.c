/* Positions as CONTRACT 5.6 has them, beside the node's and the store's own: one for the sessions
 * without a device, one for each device. In the node each follows the lowest of its open sessions;
 * in the store the inbox waits for all that count. The node's are followed from above: what the
 * model calls a position is the highest that the real one may be. */
#include "tests/sim/sim.h"

#include <inttypes.h>

static unsigned place_index(struct sim *sim, struct span device)
{
    for (unsigned i = 0; i < SIM_PLACES; i++) {
        if (span_equal(sim_device_name(i), device))
            return i;
    }
    sim_fail(sim, "the node speaks of a device that does not exist");
}

struct span sim_device_name(unsigned place)
{
    static const char *const names[SIM_PLACES] = {"", "phone", "laptop"};
    return span_of(names[place]);
}

static struct sim_place *place_of(struct sim_tab *tab)
{
    return &tab->sim->users[tab->user].places[tab->place];
}

static unsigned count_open(struct sim *sim, unsigned user, unsigned place)
{
    unsigned n = 0;
    LIST_FOR_EACH(link, &sim->tabs)
    {
        const struct sim_tab *tab = CONTAINER_OF(link, struct sim_tab, link);
        n += tab->user == user && tab->place == place && tab->session != NULL;
    }
    return n;
}

/* ---- in the store ---- */

static bool has_devices(const struct sim_user *user)
{
    return user->places[1].is_known || user->places[2].is_known;
}

/* No open session has acknowledged less. One whose first page has not come yet begins after it. */
static void check_nobody_is_behind(struct sim *sim, struct sim_user *user, uint64_t position)
{
    LIST_FOR_EACH(link, &sim->tabs)
    {
        struct sim_tab *tab = CONTAINER_OF(link, struct sim_tab, link);
        if (&sim->users[tab->user] != user || tab->session == NULL || tab->acked_max >= position)
            continue;
        if (reader_has_begun(&tab->session->reader))
            sim_fail(sim, "user %s: the inbox lets go of %" PRIu64 ", and tab %u is at %" PRIu64,
                     user->id, position, tab->number, tab->acked_max);
        tab->start_max = position;
        tab->acked_max = position;
        tab->ponged = position;
        struct sim_place *place = place_of(tab);
        place->position = position > place->position ? position : place->position;
        place->best = position > place->best ? position : place->best;
    }
}

static void handover(struct sim *sim, struct sim_user *user, uint64_t position)
{
    user->highest = position > user->highest ? position : user->highest;
    if (position > user->stored)
        check_nobody_is_behind(sim, user, position);
    sim_model_move_stored(sim, user, position);
    if (user->places[0].stored < user->stored)
        user->places[0].stored = user->stored;
}

static void follow(struct sim *sim, struct sim_user *user, bool is_held)
{
    uint64_t lowest = is_held ? user->places[0].stored : UINT64_MAX;
    for (unsigned i = 1; i < SIM_PLACES; i++) {
        if (user->places[i].is_known && user->places[i].stored < lowest)
            lowest = user->places[i].stored;
    }
    handover(sim, user, lowest);
}

void sim_model_acking(struct sim *sim, const struct store_ack *ack)
{
    struct sim_user *user = sim_model_user(sim, ack->user_id);
    const struct sim_place *place = &user->places[place_index(sim, ack->device)];
    if (ack->seq > place->position)
        sim_fail(sim,
                 "user %s: the position is written as %" PRIu64 ", beyond what all have: %" PRIu64,
                 user->id, ack->seq, place->position);
}

void sim_model_failed(struct sim *sim, const struct store_ack *ack)
{
    struct sim_user *user = sim_model_user(sim, ack->user_id);
    sim->totals.failed_acks++;
    user->places[place_index(sim, ack->device)].has_failed = true;
}

void sim_model_acked(struct sim *sim, const struct store_ack *ack)
{
    struct sim_user *user = sim_model_user(sim, ack->user_id);
    unsigned index = place_index(sim, ack->device);
    struct sim_place *place = &user->places[index];
    sim_trace(sim, "ack user %s place %u seq %" PRIu64 "%s: %s", user->id, index, ack->seq,
              ack->is_held ? " held" : "", error_title(ack->error));
    if (ack->error == ERR_STORE_UNAVAILABLE) {
        sim_model_failed(sim, ack);
        return;
    }
    if (ack->error != ERR_OK)
        sim_fail(sim, "user %s: an acknowledgement was refused: %s", user->id,
                 error_title(ack->error));
    if (index > 0 && !place->is_known)
        return;
    place->stored = ack->seq > place->stored ? ack->seq : place->stored;
    if (has_devices(user))
        follow(sim, user, ack->is_held);
    else
        handover(sim, user, ack->seq);
}

/* Would the inbox lose something by this append if nothing more was acknowledged? */
static bool must_make_room(const struct sim *sim, const struct sim_user *user,
                           const struct payload *payload)
{
    uint64_t bytes = payload->len;
    for (uint64_t seq = user->stored + 1; seq <= user->head; seq++)
        bytes += sim_model_is_waiting(sim, user, seq) ? user->entries[seq - 1].bytes : 0;
    return payload->key_len > 0 || bytes > (uint64_t)sim->options.inbox_max_bytes ||
           sim_model_count_waiting(sim, user) >= (uint64_t)sim->options.inbox_max;
}

/* The store may take the position over with any push, and must where it makes a difference. */
void sim_model_known(struct sim *sim, struct sim_user *user, const struct store_append *append,
                     const struct store_target *target)
{
    if (target->known_acked > user->highest)
        sim_fail(sim, "user %s: a push tells the position %" PRIu64 ", beyond what all have",
                 user->id, target->known_acked);
    if (has_devices(user) || !epoch_equal(target->known_epoch, user->epoch) ||
        target->known_acked > user->head)
        return;
    if (user->entries[target->seq - 1].position >= target->known_acked)
        handover(sim, user, target->known_acked);
    else if (must_make_room(sim, user, append->payload))
        sim_fail(sim,
                 "user %s: %" PRIu64 " was kept as if nothing above %" PRIu64 " was acknowledged",
                 user->id, target->seq, user->stored);
}

void sim_model_paged(struct sim *sim, const struct store_page *page)
{
    if (page->error != ERR_OK || !page->is_arrival || page->device.len == 0)
        return;
    struct sim_user *user = sim_model_user(sim, page->user_id);
    struct sim_place *place = &user->places[place_index(sim, page->device)];
    if (!place->is_known) {
        place->is_known = true;
        place->stored = user->stored;
        sim->totals.devices++;
    }
    if (page->position != place->stored)
        sim_fail(sim, "user %s: the device stands at %" PRIu64 ", expected %" PRIu64, user->id,
                 page->position, place->stored);
}

/* ---- in the node ---- */

unsigned sim_model_online(struct sim *sim, unsigned user)
{
    unsigned online = 0;
    for (unsigned i = 0; i < SIM_PLACES; i++)
        online += count_open(sim, user, i);
    return online;
}

static void set_position(struct sim_tab *tab, uint64_t position)
{
    struct sim_user *user = &tab->sim->users[tab->user];
    place_of(tab)->position = position;
    user->highest = position > user->highest ? position : user->highest;
}

/* The lowest that the open sessions have acknowledged. */
static void settle(struct sim_tab *of)
{
    uint64_t lowest = UINT64_MAX;
    LIST_FOR_EACH(link, &of->sim->tabs)
    {
        const struct sim_tab *tab = CONTAINER_OF(link, struct sim_tab, link);
        if (tab->user == of->user && tab->place == of->place && tab->session != NULL &&
            tab->acked_max < lowest)
            lowest = tab->acked_max;
    }
    if (lowest != UINT64_MAX && lowest > place_of(of)->position)
        set_position(of, lowest);
}

/* Where the store says that a new presence begins, at most. */
static uint64_t begins_at(struct sim_tab *tab)
{
    const struct sim_user *user = &tab->sim->users[tab->user];
    const struct sim_place *place = place_of(tab);
    uint64_t most = sim_store_ack_under_way(tab->sim, tab->user);
    if (place->stored > most)
        most = place->stored;
    /* While the user is there, what could not be written is not forgotten. */
    if (sim_model_online(tab->sim, tab->user) > 1 && place->position > most)
        most = place->position;
    return user->stored > most ? user->stored : most;
}

void sim_model_entered(struct sim_tab *tab)
{
    struct sim_place *place = place_of(tab);
    if (count_open(tab->sim, tab->user, tab->place) == 1) { /* the first of this presence */
        set_position(tab, begins_at(tab));
        place->best = place->position;
        place->said = 0;
        place->has_failed = false;
    }
    tab->start_max = place->position;
    tab->acked_max = place->position > tab->after ? place->position : tab->after;
    tab->ponged = tab->acked_max;
    place->best = tab->acked_max > place->best ? tab->acked_max : place->best;
    settle(tab);
}

void sim_model_session_acked(struct sim_tab *tab, uint64_t acked)
{
    struct sim_place *place = place_of(tab);
    if (acked > tab->ponged)
        sim_fail(tab->sim, "tab %u: taken as acknowledged up to %" PRIu64 ", but it said %" PRIu64,
                 tab->number, acked, tab->ponged);
    tab->acked_max = acked > tab->acked_max ? acked : tab->acked_max;
    place->best = acked > place->best ? acked : place->best;
    place->said = acked > place->said ? acked : place->said;
    settle(tab);
}

void sim_model_left(struct sim_tab *tab)
{
    struct sim_place *place = place_of(tab);
    sim_trace(tab->sim, "tab %u: its session leaves", tab->number);
    tab->session = NULL;
    settle(tab);
    if (count_open(tab->sim, tab->user, tab->place) == 0 && place->best > place->position)
        set_position(tab, place->best);
}

/* A position that cannot be written costs repeats (CONTRACT 5.3). */
void sim_model_ran_short(struct sim *sim)
{
    for (unsigned i = 0; i < sim->plan.n_users; i++) {
        for (unsigned place = 0; place < SIM_PLACES; place++)
            sim->users[i].places[place].has_failed = true;
    }
}

void sim_model_check_written(struct sim_tab *tab)
{
    const struct sim_place *place = place_of(tab);
    if (count_open(tab->sim, tab->user, tab->place) > 0 || place->has_failed ||
        place->said <= place->stored)
        return;
    if (sim_store_ack_under_way(tab->sim, tab->user) < place->said)
        sim_fail(tab->sim, "user %u: all have left, but %" PRIu64 " is not written", tab->user,
                 place->said);
}

void sim_model_crashed(struct sim *sim)
{
    for (unsigned i = 0; i < sim->plan.n_users; i++) {
        struct sim_user *user = &sim->users[i];
        user->highest = user->stored;
        for (unsigned place = 0; place < SIM_PLACES; place++) {
            sim->totals.crash_lost_acks +=
                user->places[place].position > user->places[place].stored;
            user->places[place].position = 0;
        }
    }
}
