/* A replica takes its primary's place, and has not had its last writes. What was written for a user
 * is kept here in order; the store's user is made anew, under another name, from all but the last
 * of it, with the clock as it was each time. The nodes know nothing of that. They find out by what
 * they say they know: then a new epoch begins, in which what waits is numbered from 1. */
#include "gateway/node/client_map.h"
#include "tests/sim/sim.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* What was carried out, without its answer. */
struct sim_write {
    struct list link;
    int64_t at_ms;
    enum store_op op;
    struct store_target target;
    union {
        struct store_request request;
        struct store_append append;
        struct store_ack ack;
        struct store_page page;
        struct store_withdraw withdraw;
        struct store_block block;
    };
};

/* ---- epochs ---- */

enum err __real_epoch_random(struct epoch *ret_epoch);
enum err __wrap_epoch_random(struct epoch *ret_epoch);

static struct epoch next_epoch; /* none: a random one */

enum err __wrap_epoch_random(struct epoch *ret_epoch)
{
    if (epoch_is_none(next_epoch))
        return __real_epoch_random(ret_epoch);
    *ret_epoch = next_epoch;
    return ERR_OK;
}

/* ---- what is written ---- */

static bool page_changes(const struct sim_user *user, const struct store_page *page)
{
    bool is_device = page->is_arrival && page->device.len > 0;
    if (page->error != ERR_OK || page->blocked_until_ms != 0)
        return false;
    return (is_device && !user->places[sim_place_index(page->device)].is_known) ||
           (epoch_is_none(user->epoch) && !epoch_is_none(page->epoch));
}

static bool changes_something(const struct sim_user *user, const struct sim_write *write)
{
    switch (write->op) {
    case STORE_OP_APPEND:
        return write->target.error == ERR_OK && !write->target.is_duplicate;
    case STORE_OP_ACK:
        return write->ack.error == ERR_OK;
    case STORE_OP_PAGE:
        return page_changes(user, &write->page);
    case STORE_OP_WITHDRAW:
        return write->withdraw.error == ERR_OK && write->withdraw.n_removed > 0;
    case STORE_OP_BLOCK:
        return write->block.error == ERR_OK;
    default:
        return false;
    }
}

static void put_write(struct sim *sim, struct sim_user *user, const struct sim_write *write)
{
    struct sim_write *kept = malloc(sizeof *kept);
    *kept = *write;
    kept->at_ms = sim->now_ms;
    if (write->op == STORE_OP_APPEND)
        payload_ref(write->append.payload);
    if (write->op == STORE_OP_PAGE || write->op == STORE_OP_ACK) {
        struct span *device = write->op == STORE_OP_PAGE ? &kept->page.device : &kept->ack.device;
        *device = sim_device_name(sim_place_index(*device));
    }
    list_append(&user->writes, &kept->link);
}

void sim_loss_record(struct sim *sim, unsigned index, const struct store_request *request,
                     enum store_op op)
{
    static const size_t sizes[STORE_OPS] = {
        [STORE_OP_APPEND] = sizeof(struct store_append),
        [STORE_OP_ACK] = sizeof(struct store_ack),
        [STORE_OP_PAGE] = sizeof(struct store_page),
        [STORE_OP_WITHDRAW] = sizeof(struct store_withdraw),
        [STORE_OP_BLOCK] = sizeof(struct store_block),
    };
    struct sim_write write = {.op = op};
    if (!sim->plan.may_lose || sizes[op] == 0)
        return;
    memcpy(&write.request, request, sizes[op]);
    if (op == STORE_OP_APPEND)
        write.target = write.append.targets[0];
    if (changes_something(&sim->users[index], &write))
        put_write(sim, &sim->users[index], &write);
}

static void free_write(struct sim_write *write)
{
    if (write->op == STORE_OP_APPEND)
        payload_unref(write->append.payload);
    list_remove(&write->link);
    free(write);
}

static void free_writes(struct list *writes)
{
    while (!list_is_empty(writes))
        free_write(CONTAINER_OF(writes->next, struct sim_write, link));
}

void sim_loss_end(struct sim *sim)
{
    for (unsigned i = 0; i < sim->plan.n_users; i++)
        free_writes(&sim->users[i].writes);
}

/* ---- written again ---- */

static void on_written_again(struct store_request *request)
{
    (void)request; /* looked at after the turn */
}

/* What clients did with a number stays true, if it is that of the same push. */
static void keep_marks(struct sim_user *user, const struct sim_entry *before)
{
    struct sim_entry *entry = &user->entries[user->head - 1];
    for (uint64_t seq = 1; seq <= SIM_NUMBERS_MAX && before[seq - 1].bytes > 0; seq++) {
        const struct sim_entry *old = &before[seq - 1];
        if (old->push != entry->push)
            continue;
        entry->was_had = old->was_had;
        entry->was_acked = old->was_acked;
        entry->unreported = old->unreported;
        entry->had_left = old->had_left || old->fate != SIM_WAITING;
    }
}

/* What the answer holds is the node's. */
static void clear_answer(struct store_page *page)
{
    page->notes = NULL;
    page->gaps = page->withdrawn = NULL;
    page->n_notes = page->n_gaps = page->n_withdrawn = 0;
}

static void write_again(struct sim *sim, struct sim_user *user, struct sim_write *write)
{
    struct store_target target = write->target;
    sim->now_ms = write->at_ms;
    write->request.next = NULL;
    write->request.on_done = on_written_again;
    if (write->op == STORE_OP_APPEND) {
        write->append.targets = &target;
        write->append.n_targets = 1;
    }
    *sim_request_user(&write->request, write->op) = span_of(user->store_id);
    if (write->op == STORE_OP_PAGE)
        clear_answer(&write->page);
    if (write->op == STORE_OP_WITHDRAW)
        write->withdraw.n_removed = write->withdraw.n_committed = 0;
    sim_store_submit(sim, &write->request, write->op);
    sim_store_turn(sim);
    *sim_request_user(&write->request, write->op) = span_of(user->id);
    sim_request_show(&sim->nodes[0], &write->request, write->op);
    if (write->op == STORE_OP_PAGE)
        store_page_clear(&write->page);
    if (write->op == STORE_OP_APPEND && target.error != ERR_OK)
        sim_fail(sim, "user %s: a write cannot be done again", user->id);
}

/* In the store and in the model. */
static void make_anew(struct sim *sim, struct sim_user *user, struct epoch epoch)
{
    int64_t now_ms = sim->now_ms;
    struct sim_entry *before = malloc(sizeof user->entries);
    memcpy(before, user->entries, sizeof user->entries);
    for (uint64_t seq = user->head; seq < SIM_NUMBERS_MAX; seq++)
        before[seq].bytes = 0;
    sim_model_forget(sim, user);
    snprintf(user->store_id, sizeof user->store_id, "%s~%u", user->id, ++user->n_losses);
    next_epoch = epoch;
    sim->is_replaying = true;
    LIST_FOR_EACH(link, &user->writes)
    {
        struct sim_write *write = CONTAINER_OF(link, struct sim_write, link);
        uint64_t head = user->head;
        write_again(sim, user, write);
        if (user->head > head)
            keep_marks(user, before);
    }
    sim->is_replaying = false;
    next_epoch = (struct epoch){{0}};
    sim->now_ms = now_ms;
    free(before);
}

/* ---- the clients ---- */

static struct client_known known_at(const struct sim_tab *tab)
{
    return client_map_known(tab->node->node.map, span_of(tab->sim->users[tab->user].id));
}

/* Those that know numbers above `common` of the old epoch: they have to go. */
static void doom_tabs(struct sim *sim, const struct sim_user *user, struct epoch epoch,
                      uint64_t common)
{
    LIST_FOR_EACH(link, &sim->tabs)
    {
        struct sim_tab *tab = CONTAINER_OF(link, struct sim_tab, link);
        if (&sim->users[tab->user] != user || tab->is_entering)
            continue;
        struct client_known known = {0};
        if (tab->session != NULL)
            known = known_at(tab);
        bool is_common =
            tab->session != NULL && (!epoch_equal(known.epoch, epoch) || known.head <= common);
        if (is_common && !(tab->is_doomed && tab->common > common))
            continue;
        tab->common = tab->is_doomed && tab->common < common ? tab->common : common;
        tab->is_doomed = true;
        tab->doomed_at = sim->n_pushes;
        sim->totals.doomed++;
        sim_trace(sim, "tab %u has what was lost above %" PRIu64, tab->number, common);
    }
}

/* Their page may have been read in either epoch: these clients go. */
static void drop_beginners(struct sim *sim, const struct sim_user *user)
{
    LIST_FOR_EACH_SAFE(link, &sim->tabs)
    {
        struct sim_tab *tab = CONTAINER_OF(link, struct sim_tab, link);
        bool has_begun = tab->session != NULL && reader_has_begun(&tab->session->reader);
        if (&sim->users[tab->user] == user && !has_begun)
            sim_tab_drop(tab);
    }
}

/* The highest number after which a session that has not begun asks to go on: a client that comes
 * back with a number that was lost cannot be told from one that has had it. */
static uint64_t highest_resume(const struct sim *sim, const struct sim_user *user)
{
    uint64_t highest = 0;
    LIST_FOR_EACH(link, &sim->tabs)
    {
        const struct sim_tab *tab = CONTAINER_OF(link, struct sim_tab, link);
        bool has_begun = tab->session != NULL && reader_has_begun(&tab->session->reader);
        if (&sim->users[tab->user] == user && !has_begun && tab->after > highest)
            highest = tab->after;
    }
    return highest;
}

bool sim_loss_is_kept(const struct sim_tab *tab, uint32_t number)
{
    struct sim *sim = tab->sim;
    const struct sim_user *user = &sim->users[tab->user];
    uint64_t seq = sim->pushes[number].seqs[tab->user];
    if (sim->pushes[number].push.ttl_s == 0 || (seq > 0 && seq <= tab->common))
        return true;
    for (uint64_t at = tab->common + 1; at < seq && at <= tab->last_seq; at++) {
        if (number >= tab->doomed_at && sim_model_is_waiting(sim, user, at))
            sim_fail(sim, "tab %u was given %" PRIu64 ", and not %" PRIu64 ", given again",
                     tab->number, seq, at);
    }
    return false;
}

void sim_loss_check_calm(const struct sim_tab *tab)
{
    struct sim *sim = tab->sim;
    const struct sim_user *user = &sim->users[tab->user];
    if (!tab->is_doomed || tab->fd < 0 || tab->session->reader.state == READER_DRAINING)
        return; /* it reads no page before its client has read what waits in memory */
    struct client_known known = known_at(tab);
    bool is_old = !epoch_equal(known.epoch, user->epoch) || known.head > user->head;
    for (uint64_t at = tab->common + 1; !is_old && at <= tab->last_seq; at++)
        is_old = sim_model_is_waiting(sim, user, at);
    if (is_old)
        sim_fail(sim, "tab %u of user %s knows numbers above %" PRIu64 " that were lost",
                 tab->number, user->id, tab->common);
}

/* ---- losing, and finding out ---- */

void sim_loss_roll_back(struct sim *sim, unsigned index)
{
    struct sim_user *user = &sim->users[index];
    uint64_t least = highest_resume(sim, user);
    uint64_t head = user->head;
    struct epoch epoch = user->epoch;
    uint64_t n = sim_chance(sim, 100) ? SIM_NUMBERS_MAX : 1 + sim_below(sim, 6);
    while (n-- > 0 && !list_is_empty(&user->writes)) {
        struct sim_write *last = CONTAINER_OF(user->writes.prev, struct sim_write, link);
        if (last->op == STORE_OP_APPEND && head-- <= least)
            break;
        sim->totals.lost_writes++;
        free_write(last);
    }
    sim->totals.stored -= user->head;
    make_anew(sim, user, epoch);
    sim->totals.losses++;
    sim_trace(sim, "user %s: head is %" PRIu64 " again", user->id, user->head);
    doom_tabs(sim, user, epoch, user->head);
    if (user->head < least)
        sim_fail(sim, "too much was lost");
}

/* Is the number that a node knows another one in the store? Redis believes that it is the same when
 * its entry has left and higher ones were given (scripts/common.lua); that is not tried here. */
static bool is_other(const struct sim_user *user, struct epoch epoch, uint64_t head, uint32_t time)
{
    bool is_same = epoch_equal(epoch, user->epoch);
    if (head == 0 || epoch_is_none(user->epoch) || !(is_same || epoch_is_none(epoch)))
        return false;
    return head > user->head ||
           (is_same && time != 0 && store_time(user->entries[head - 1].time_ms) != time);
}

bool sim_loss_is_seen(const struct sim *sim, unsigned index, struct store_request *request,
                      enum store_op op)
{
    const struct sim_user *user = &sim->users[index];
    const struct store_page *page = CONTAINER_OF(request, struct store_page, request);
    if (op == STORE_OP_PAGE)
        return is_other(user, page->known_epoch, page->known_head, page->known_time);
    if (op != STORE_OP_APPEND)
        return false;
    const struct store_target *target =
        &CONTAINER_OF(request, struct store_append, request)->targets[0];
    return is_other(user, target->known_epoch, target->known_head, target->known_time);
}

/* Only what waits, the devices, and the block. */
static bool is_kept(const struct sim *sim, const struct sim_user *user,
                    const struct sim_write *write, uint64_t seq)
{
    if (write->op == STORE_OP_APPEND)
        return sim_model_is_waiting(sim, user, seq);
    return write->op == STORE_OP_BLOCK ||
           (write->op == STORE_OP_PAGE && write->page.device.len > 0);
}

/* The store has begun a new epoch for it, and does not find another loss. */
static void forget_known(struct store_request *request, enum store_op op)
{
    if (op == STORE_OP_PAGE)
        CONTAINER_OF(request, struct store_page, request)->known_head = 0;
    else
        CONTAINER_OF(request, struct store_append, request)->targets[0].known_head = 0;
}

void sim_loss_begin_epoch(struct sim *sim, unsigned index, struct store_request *request,
                          enum store_op op)
{
    struct sim_user *user = &sim->users[index];
    struct epoch before = user->epoch;
    struct epoch fresh;
    uint64_t seq = 0;
    if (__real_epoch_random(&fresh) != ERR_OK)
        sim_fail(sim, "no randomness");
    LIST_FOR_EACH_SAFE(link, &user->writes)
    {
        struct sim_write *write = CONTAINER_OF(link, struct sim_write, link);
        seq += write->op == STORE_OP_APPEND;
        write->target.known_head = write->target.known_acked = 0;
        write->target.known_epoch = (struct epoch){{0}};
        if (!is_kept(sim, user, write, seq))
            free_write(write);
    }
    for (uint64_t at = 1; at <= user->head; at++) {
        if (sim_model_is_waiting(sim, user, at))
            sim->totals.stored--;
        else
            sim_model_count_fate(sim, &user->entries[at - 1]);
    }
    forget_known(request, op);
    drop_beginners(sim, user);
    make_anew(sim, user, fresh);
    sim->totals.epochs++;
    sim_trace(sim, "user %s: a new epoch begins, with %" PRIu64, user->id, user->head);
    doom_tabs(sim, user, before, 0);
}
