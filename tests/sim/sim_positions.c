/* Positions as CONTRACT 5.6 has them, beside the node's and the store's own: one for the sessions
 * without a device, one for each device. In the node each follows the lowest of its open sessions;
 * in the store the inbox waits for all that count. The node's are followed from above: what the
 * model calls a position is the highest that the real one may be. */
#include "tests/sim/sim.h"

#include <inttypes.h>
#include <string.h>

unsigned sim_place_index(struct span device)
{
    unsigned i = 0;
    while (i < SIM_PLACES && !span_equal(sim_device_name(i), device))
        i++;
    return i;
}

static unsigned place_index(const struct sim *sim, struct span device)
{
    unsigned index = sim_place_index(device);
    if (index == SIM_PLACES)
        sim_fail(sim, "the node speaks of a device that does not exist");
    return index;
}

struct span sim_device_name(unsigned place)
{
    static const char *const names[SIM_PLACES] = {"", "phone", "laptop"};
    return span_of(names[place]);
}

static struct sim_place *place_of(const struct sim_tab *tab)
{
    return &tab->sim->users[tab->user].places[tab->place];
}

static struct sim_presence *presence_of(const struct sim_tab *tab)
{
    return &tab->sim->users[tab->user].presences[tab->node->index][tab->place];
}

/* At the node. */
static unsigned count_open(const struct sim_node *node, unsigned user, unsigned place)
{
    unsigned n = 0;
    LIST_FOR_EACH(link, &node->sim->tabs)
    {
        const struct sim_tab *tab = CONTAINER_OF(link, struct sim_tab, link);
        n += tab->node == node && tab->user == user && tab->place == place && tab->session != NULL;
    }
    return n;
}

static unsigned count_open_beside(const struct sim_tab *tab)
{
    return count_open(tab->node, tab->user, tab->place);
}

static void raise_to(uint64_t *number, uint64_t to)
{
    *number = to > *number ? to : *number;
}

/* ---- in the store ---- */

static bool has_devices(const struct sim_user *user)
{
    return user->places[1].is_known || user->places[2].is_known;
}

/* A session whose first page has not come yet begins after it. */
static void raise_start(struct sim_tab *tab, uint64_t position)
{
    struct sim_presence *presence = presence_of(tab);
    raise_to(&tab->start_max, position);
    raise_to(&tab->acked_max, position);
    raise_to(&tab->ponged, position);
    raise_to(&presence->position, position);
    raise_to(&presence->best, position);
    raise_to(&tab->sim->users[tab->user].highest[tab->node->index], position);
}

static bool has_begun(const struct sim_tab *tab)
{
    return tab->session != NULL && reader_has_begun(&tab->session->reader);
}

/* What has moved the inbox's position: a node, the sessions' device, and what it has asked for. */
struct move {
    const struct sim_node *node;
    struct sim_user *user;
    unsigned place;
    uint64_t asked;
};

/* No open session of that node has acknowledged less; those of other nodes may be overtaken, and so
 * may this node's be by other nodes. */
static bool may_be_behind(const struct sim_tab *tab, const struct move *move)
{
    return sim_store_is_shared(tab->sim) &&
           (tab->node != move->node || tab->place != move->place || tab->acked_max >= move->asked);
}

static void check_nobody_is_behind(const struct move *move, uint64_t position)
{
    struct sim *sim = move->node->sim;
    LIST_FOR_EACH(link, &sim->tabs)
    {
        struct sim_tab *tab = CONTAINER_OF(link, struct sim_tab, link);
        if (&sim->users[tab->user] != move->user || tab->session == NULL ||
            tab->acked_max >= position)
            continue;
        if (!has_begun(tab))
            raise_start(tab, position);
        else if (!may_be_behind(tab, move))
            sim_fail(sim, "user %s: the inbox lets go of %" PRIu64 ", and tab %u is at %" PRIu64,
                     move->user->id, position, tab->number, tab->acked_max);
    }
}

static void handover(const struct move *move, uint64_t position)
{
    struct sim_user *user = move->user;
    raise_to(&user->highest[move->node->index], position);
    if (position > user->stored && !move->node->sim->is_replaying)
        check_nobody_is_behind(move, position);
    sim_model_move_stored(move->node->sim, user, position);
    if (user->places[0].stored < user->stored)
        user->places[0].stored = user->stored;
}

static void follow(const struct move *move, bool is_held)
{
    const struct sim_user *user = move->user;
    uint64_t lowest = is_held ? user->places[0].stored : UINT64_MAX;
    for (unsigned i = 1; i < SIM_PLACES; i++) {
        if (user->places[i].is_known && user->places[i].stored < lowest)
            lowest = user->places[i].stored;
    }
    handover(move, lowest);
}

/* Sessions of that device on other nodes that have asked for their first page begin behind it. */
static void raise_others(struct sim *sim, const struct sim_user *user, unsigned place)
{
    LIST_FOR_EACH(link, &sim->tabs)
    {
        struct sim_tab *tab = CONTAINER_OF(link, struct sim_tab, link);
        if (&sim->users[tab->user] == user && tab->place == place && tab->session != NULL &&
            !has_begun(tab))
            raise_start(tab, user->places[place].stored);
    }
}

void sim_model_acking(struct sim_node *node, const struct store_ack *ack)
{
    struct sim_user *user = sim_model_user(node->sim, ack->user_id);
    unsigned place = place_index(node->sim, ack->device);
    uint64_t position = user->presences[node->index][place].position;
    if (ack->seq > position)
        sim_fail(node->sim,
                 "user %s: the position is written as %" PRIu64 ", beyond what all have: %" PRIu64,
                 user->id, ack->seq, position);
}

void sim_model_failed(struct sim_node *node, const struct store_ack *ack)
{
    struct sim_user *user = sim_model_user(node->sim, ack->user_id);
    node->sim->totals.failed_acks++;
    user->presences[node->index][place_index(node->sim, ack->device)].has_failed = true;
}

void sim_model_acked(struct sim_node *node, const struct store_ack *ack)
{
    struct sim *sim = node->sim;
    struct sim_user *user = sim_model_user(sim, ack->user_id);
    unsigned index = place_index(sim, ack->device);
    struct sim_place *place = &user->places[index];
    sim_trace(sim, "ack node %u user %s place %u seq %" PRIu64 "%s: %s", node->index, user->id,
              index, ack->seq, ack->is_held ? " held" : "", error_title(ack->error));
    if (ack->error == ERR_STORE_UNAVAILABLE) {
        sim_model_failed(node, ack);
        return;
    }
    if (!epoch_equal(ack->epoch, user->epoch) || ack->seq > user->head) {
        if (ack->error != ERR_STALE_EPOCH || user->n_losses == 0)
            sim_fail(sim, "user %s: a position of another epoch: %s", user->id,
                     error_title(ack->error));
        user->presences[node->index][index].has_failed = true;
        return;
    }
    if (ack->error != ERR_OK)
        sim_fail(sim, "user %s: an acknowledgement was refused: %s", user->id,
                 error_title(ack->error));
    if (index > 0 && !place->is_known)
        return;
    raise_to(&place->stored, ack->seq);
    if (sim_store_is_shared(sim))
        raise_others(sim, user, index);
    struct move move = {node, user, index, ack->seq};
    if (has_devices(user))
        follow(&move, ack->is_held);
    else
        handover(&move, ack->seq);
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
void sim_model_known(struct sim_node *node, struct sim_user *user,
                     const struct store_append *append, const struct store_target *target)
{
    struct sim *sim = node->sim;
    if (target->known_acked > user->highest[node->index] && !sim->is_replaying)
        sim_fail(sim, "user %s: a push tells the position %" PRIu64 ", beyond what all have",
                 user->id, target->known_acked);
    if (has_devices(user) || !epoch_equal(target->known_epoch, user->epoch) ||
        target->known_acked > user->head)
        return;
    struct move move = {node, user, 0, target->known_acked};
    if (user->entries[target->seq - 1].position >= target->known_acked)
        handover(&move, target->known_acked);
    else if (must_make_room(sim, user, append->payload))
        sim_fail(sim,
                 "user %s: %" PRIu64 " was kept as if nothing above %" PRIu64 " was acknowledged",
                 user->id, target->seq, user->stored);
}

void sim_model_paged(struct sim *sim, const struct store_page *page)
{
    if (page->error == ERR_OK)
        sim_fleet_check_page(sim, page);
    if (page->error == ERR_OK && !epoch_is_none(page->epoch))
        sim_model_user(sim, page->user_id)->epoch = page->epoch;
    if (page->error != ERR_OK || !page->is_arrival || page->device.len == 0 ||
        page->blocked_until_ms != 0)
        return;
    struct sim_user *user = sim_model_user(sim, page->user_id);
    struct sim_place *place = &user->places[place_index(sim, page->device)];
    if (!place->is_known) {
        place->is_known = true;
        place->stored = user->stored;
        sim->totals.devices += !sim->is_replaying;
    }
    if (page->position != place->stored)
        sim_fail(sim, "user %s: the device stands at %" PRIu64 ", expected %" PRIu64, user->id,
                 page->position, place->stored);
}

/* ---- in the node ---- */

unsigned sim_model_online(struct sim_node *node, unsigned user)
{
    unsigned online = 0;
    for (unsigned i = 0; i < SIM_PLACES; i++)
        online += count_open(node, user, i);
    return online;
}

static void set_position(struct sim_tab *tab, uint64_t position)
{
    presence_of(tab)->position = position;
    raise_to(&tab->sim->users[tab->user].highest[tab->node->index], position);
}

/* The lowest that the open sessions have acknowledged. */
static void settle(struct sim_tab *of)
{
    uint64_t lowest = UINT64_MAX;
    LIST_FOR_EACH(link, &of->sim->tabs)
    {
        const struct sim_tab *tab = CONTAINER_OF(link, struct sim_tab, link);
        if (tab->node == of->node && tab->user == of->user && tab->place == of->place &&
            tab->session != NULL && tab->acked_max < lowest)
            lowest = tab->acked_max;
    }
    if (lowest != UINT64_MAX && lowest > presence_of(of)->position)
        set_position(of, lowest);
}

/* Where the store says that a new presence begins, at most. */
static uint64_t begins_at(struct sim_tab *tab)
{
    const struct sim_user *user = &tab->sim->users[tab->user];
    uint64_t most = sim_link_ack_under_way(tab->sim, tab->user);
    raise_to(&most, place_of(tab)->stored);
    /* While the user is there, what could not be written is not forgotten. */
    if (sim_model_online(tab->node, tab->user) > 1)
        raise_to(&most, presence_of(tab)->position);
    return user->stored > most ? user->stored : most;
}

void sim_model_entered(struct sim_tab *tab)
{
    struct sim_presence *presence = presence_of(tab);
    if (count_open_beside(tab) == 1) { /* the first of this presence */
        set_position(tab, begins_at(tab));
        presence->best = presence->position;
        presence->said = 0;
        presence->has_failed = false;
    }
    tab->start_max = presence->position;
    if (tab->is_lost)
        raise_to(&tab->start_max, begins_at(tab)); /* another node may have moved the store's */
    tab->acked_max = tab->start_max > tab->after ? tab->start_max : tab->after;
    tab->ponged = tab->acked_max;
    raise_to(&presence->best, tab->acked_max);
    settle(tab);
}

void sim_model_session_acked(struct sim_tab *tab, uint64_t acked)
{
    struct sim_presence *presence = presence_of(tab);
    if (acked > tab->ponged)
        sim_fail(tab->sim, "tab %u: taken as acknowledged up to %" PRIu64 ", but it said %" PRIu64,
                 tab->number, acked, tab->ponged);
    raise_to(&tab->acked_max, acked);
    raise_to(&presence->best, acked);
    raise_to(&presence->said, acked);
    settle(tab);
}

void sim_model_left(struct sim_tab *tab)
{
    struct sim_presence *presence = presence_of(tab);
    sim_trace(tab->sim, "tab %u: its session leaves", tab->number);
    tab->session = NULL;
    settle(tab);
    if (count_open_beside(tab) == 0 && presence->best > presence->position)
        set_position(tab, presence->best);
}

void sim_model_unsure(struct sim_tab *tab)
{
    presence_of(tab)->has_failed = true;
}

/* A position that cannot be written costs repeats (CONTRACT 5.3). */
void sim_model_ran_short(struct sim *sim)
{
    for (unsigned i = 0; i < sim->plan.n_users; i++) {
        for (unsigned node = 0; node < SIM_NODES_MAX; node++)
            for (unsigned place = 0; place < SIM_PLACES; place++)
                sim->users[i].presences[node][place].has_failed = true;
    }
}

void sim_model_check_written(struct sim_tab *tab)
{
    const struct sim_presence *presence = presence_of(tab);
    if (count_open_beside(tab) > 0 || presence->has_failed ||
        presence->said <= place_of(tab)->stored)
        return;
    if (sim_link_ack_under_way(tab->sim, tab->user) < presence->said)
        sim_fail(tab->sim, "user %u: all have left, but %" PRIu64 " is not written", tab->user,
                 presence->said);
}

void sim_model_forget(struct sim *sim, struct sim_user *user)
{
    unsigned index = (unsigned)(user - sim->users);
    user->epoch = (struct epoch){{0}};
    user->head = user->reported = user->stored = 0;
    user->blocked_until_ms = 0;
    user->was_kicked = false;
    user->n_resume = 0;
    memset(user->places, 0, sizeof user->places);
    for (unsigned i = 0; i < SIM_NODES_MAX; i++)
        for (unsigned place = 0; place < SIM_PLACES; place++)
            user->presences[i][place].has_failed = true;
    for (unsigned i = 0; i < sim->n_pushes; i++)
        sim->pushes[i].seqs[index] = 0;
}

void sim_model_crashed(struct sim_node *node)
{
    struct sim *sim = node->sim;
    for (unsigned i = 0; i < sim->plan.n_users; i++) {
        struct sim_user *user = &sim->users[i];
        user->highest[node->index] = user->stored;
        for (unsigned place = 0; place < SIM_PLACES; place++) {
            struct sim_presence *presence = &user->presences[node->index][place];
            sim->totals.crash_lost_acks += presence->position > user->places[place].stored;
            presence->position = 0;
        }
    }
}
