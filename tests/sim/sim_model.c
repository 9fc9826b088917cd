/* The store's inbox is followed answer by answer, in the order in which the store carried the
 * requests out. A number leaves it acknowledged only if a client that really had it has said so,
 * and the node may move a position only as far as CONTRACT 5.6 lets it. What a session skips must
 * have left the inbox. So a notification cannot be lost without one of the checks here failing. */
#include "tests/sim/sim.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static struct sim_entry *entry_of(struct sim_user *user, uint64_t seq)
{
    return &user->entries[seq - 1];
}

static void leave(const struct sim *sim, struct sim_entry *entry, enum sim_fate fate)
{
    entry->fate = fate;
    entry->left_ms = sim_wall_ms(sim);
}

static unsigned index_of(const struct sim *sim, const struct sim_user *user)
{
    return (unsigned)(user - sim->users);
}

struct sim_user *sim_model_user(struct sim *sim, struct span user_id)
{
    for (unsigned i = 0; i < sim->plan.n_users; i++) {
        if (span_equal(span_of(sim->users[i].id), user_id))
            return &sim->users[i];
    }
    sim_fail(sim, "the node speaks of a user who does not exist: %.*s", (int)user_id.len,
             user_id.bytes);
}

bool sim_model_is_waiting(const struct sim *sim, const struct sim_user *user, uint64_t seq)
{
    const struct sim_entry *entry = &user->entries[seq - 1];
    return entry->fate == SIM_WAITING && entry->expires_ms > sim_wall_ms(sim);
}

uint64_t sim_model_count_waiting(const struct sim *sim, const struct sim_user *user)
{
    uint64_t count = 0;
    for (uint64_t seq = user->stored + 1; seq <= user->head; seq++)
        count += sim_model_is_waiting(sim, user, seq);
    return count;
}

/* ---- the store ---- */

void sim_model_told(struct sim *sim, struct span user_id, struct inbox_event event)
{
    struct sim_user *user = sim_model_user(sim, user_id);
    const struct notification *note = event.note;
    if (event.kind == INBOX_WITHDRAWAL)
        return;
    if (note->seq != user->reported + 1)
        sim_fail(sim, "user %s was told of %" PRIu64 " after %" PRIu64, user->id, note->seq,
                 user->reported);
    user->reported = note->seq;
    entry_of(user, note->seq)->position = note->acked;
}

void sim_model_untold(struct sim_node *node, struct span user_id, struct inbox_event event)
{
    struct sim_user *user = sim_model_user(node->sim, user_id);
    bool is_withdrawal = event.kind == INBOX_WITHDRAWAL;
    uint64_t from = is_withdrawal ? event.withdrawal->from : event.note->replaces;
    uint64_t to = is_withdrawal ? event.withdrawal->to : event.note->replaces;
    for (uint64_t seq = from; seq > 0 && seq <= to; seq++)
        user->entries[seq - 1].unreported |= (uint8_t)(1u << node->index);
}

/* A session that is about to read may be given the number by its page, before anybody finds that it
 * was not heard of: then it is not told what that has replaced. */
void sim_model_lost(struct sim_node *node, struct span user_id, struct inbox_event event)
{
    struct sim *sim = node->sim;
    sim->totals.lost_messages++;
    sim_model_untold(node, user_id, event);
    LIST_FOR_EACH(link, &sim->tabs)
    {
        struct sim_tab *tab = CONTAINER_OF(link, struct sim_tab, link);
        if (tab->node == node && tab->session != NULL && event.note->replaces != 0 &&
            !reader_is_live(&tab->session->reader))
            tab->may_show = true;
    }
}

/* The oldest leave until what is left fits; what has expired goes first and pushes nobody out. */
static void push_out(struct sim *sim, struct sim_user *user)
{
    uint64_t bytes = 0;
    uint64_t count = 0;
    uint64_t first = user->head;
    for (uint64_t seq = user->head; seq > user->stored; seq--) {
        if (!sim_model_is_waiting(sim, user, seq))
            continue;
        bytes += entry_of(user, seq)->bytes;
        count++;
        if (seq != user->head && (count > (uint64_t)sim->options.inbox_max ||
                                  bytes > (uint64_t)sim->options.inbox_max_bytes))
            break;
        first = seq;
    }
    for (uint64_t seq = user->stored + 1; seq < first; seq++) {
        if (!sim_model_is_waiting(sim, user, seq))
            continue;
        leave(sim, entry_of(user, seq), SIM_OVERFLOW);
        sim_trace(sim, "overflow user %s seq %" PRIu64, user->id, seq);
    }
}

void sim_model_move_stored(struct sim *sim, struct sim_user *user, uint64_t position)
{
    for (uint64_t seq = user->stored + 1; seq <= position; seq++) {
        struct sim_entry *entry = entry_of(user, seq);
        if (!sim_model_is_waiting(sim, user, seq))
            continue;
        if (!entry->was_acked)
            sim_fail(sim, "user %s: %" PRIu64 " left as acknowledged, but %s", user->id, seq,
                     entry->was_had ? "no client that had it said so" : "no client ever had it");
        leave(sim, entry, SIM_ACKED);
    }
    if (position > user->stored)
        user->stored = position;
}

static bool is_same_key(struct sim *sim, const struct sim_entry *entry, uint32_t number)
{
    struct span key = sim->pushes[number].push.collapse_key;
    return key.len > 0 && span_equal(key, sim->pushes[entry->push].push.collapse_key);
}

static void collapse(struct sim *sim, struct sim_user *user, uint32_t number)
{
    for (uint64_t seq = user->stored + 1; seq <= user->head; seq++) {
        struct sim_entry *entry = entry_of(user, seq);
        if (!sim_model_is_waiting(sim, user, seq) || !is_same_key(sim, entry, number))
            continue;
        leave(sim, entry, SIM_COLLAPSED);
        sim_trace(sim, "collapsed user %s seq %" PRIu64, user->id, seq);
    }
}

struct sim_push *sim_model_push(struct sim *sim, struct payload *payload)
{
    struct span data = payload_data(payload);
    return &sim->pushes[strtoul(data.bytes + strlen("{\"n\":"), NULL, 10)];
}

void sim_model_appended(struct sim_node *node, const struct store_append *append)
{
    struct sim *sim = node->sim;
    struct sim_push *push = sim_model_push(sim, append->payload);
    uint32_t number = (uint32_t)(push - sim->pushes);
    for (size_t i = 0; i < append->n_targets; i++) {
        const struct store_target *target = &append->targets[i];
        struct sim_user *user = sim_model_user(sim, target->user_id);
        if (target->error != ERR_OK)
            continue;
        if (push->seqs[index_of(sim, user)] != 0) { /* it was kept before */
            if (!target->is_duplicate || target->seq != push->seqs[index_of(sim, user)])
                sim_fail(sim, "push %u was kept twice for user %s", number, user->id);
            sim->totals.duplicates++;
            continue;
        }
        if (target->is_duplicate)
            sim_fail(sim, "push %u is no duplicate for user %s", number, user->id);
        if (target->seq != user->head + 1)
            sim_fail(sim, "user %s: number %" PRIu64 " was given after %" PRIu64, user->id,
                     target->seq, user->head);
        if (user->head > 0 && !epoch_equal(user->epoch, target->epoch))
            sim_fail(sim, "user %s: another epoch has begun", user->id);
        if (target->known_acked > 0 && !target->is_duplicate)
            sim_model_known(node, user, append, target);
        collapse(sim, user, number);
        user->epoch = target->epoch;
        user->head = target->seq;
        *entry_of(user, user->head) = (struct sim_entry){.push = number,
                                                         .bytes = append->payload->len,
                                                         .time_ms = target->time_ms,
                                                         .expires_ms = target->expires_ms};
        push->seqs[index_of(sim, user)] = user->head;
        push->n_losses[index_of(sim, user)] = user->n_losses;
        push_out(sim, user);
        user->has_merged |= sim_gaps_are_merged(sim, user);
        sim->totals.stored++;
        sim_trace(sim, "append push %u user %s seq %" PRIu64, number, user->id, user->head);
    }
}

static void check_fate(struct sim *sim, const struct sim_user *user, uint64_t seq,
                       const struct store_found *found)
{
    enum gap_cause cause = sim_gaps_cause(sim, user, seq);
    bool is_right =
        found->fate == FATE_PENDING ? cause == GAP_NONE
        : found->fate == FATE_DELIVERED
            ? cause == GAP_ACKNOWLEDGED
            : cause == found->cause || (found->cause == GAP_UNKNOWN && cause != GAP_NONE);
    if (!is_right)
        sim_fail(sim, "user %s: of %" PRIu64 " the store says fate %d cause %s, expected %s",
                 user->id, seq, (int)found->fate, gap_cause_text(found->cause),
                 cause == GAP_NONE ? "pending" : gap_cause_text(cause));
}

void sim_model_looked(struct sim *sim, const struct store_look *look)
{
    const struct sim_user *user = sim_model_user(sim, look->user_id);
    if (look->error == ERR_OK && epoch_equal(look->epoch, user->epoch))
        check_fate(sim, user, look->seq, &look->found);
}

void sim_model_withdrawn(struct sim *sim, const struct store_withdraw *withdraw)
{
    struct sim_user *user = sim_model_user(sim, withdraw->user_id);
    bool is_old = !withdraw->is_all && !epoch_equal(withdraw->epoch, user->epoch);
    if (withdraw->error != ERR_OK || (is_old && withdraw->n_removed == 0))
        return;
    uint64_t from = withdraw->is_all ? user->stored + 1 : withdraw->seq;
    uint64_t to = withdraw->is_all ? user->head : withdraw->seq;
    uint64_t n_removed = 0;
    if (!withdraw->is_all)
        check_fate(sim, user, withdraw->seq, &withdraw->found);
    for (uint64_t seq = from; seq <= to; seq++) {
        if (!sim_model_is_waiting(sim, user, seq))
            continue;
        leave(sim, entry_of(user, seq), SIM_CANCELLED);
        n_removed++;
        sim_trace(sim, "cancelled user %s seq %" PRIu64, user->id, seq);
    }
    user->has_merged |= sim_gaps_are_merged(sim, user);
    if (withdraw->n_removed != n_removed)
        sim_fail(sim, "user %s: %" PRIu64 " were withdrawn, expected %" PRIu64, user->id,
                 withdraw->n_removed, n_removed);
}

/* ---- clients ---- */

/* Of the numbers below `end` that this session has not had, none was there to be sent. */
static void check_skipped(struct sim_tab *tab, uint64_t end)
{
    struct sim *sim = tab->sim;
    const struct sim_user *user = &sim->users[tab->user];
    uint64_t after = tab->last_seq > tab->start_max ? tab->last_seq : tab->start_max;
    if (tab->is_doomed)
        return;
    if (tab->is_v1)
        after = tab->tail;
    for (uint64_t seq = after + 1; seq < end; seq++) {
        if (sim_model_is_waiting(sim, user, seq))
            sim_fail(sim, "tab %u of user %s was not given %" PRIu64 ", which waits in the inbox",
                     tab->number, user->id, seq);
    }
}

static void had_ephemeral(struct sim_tab *tab, uint32_t number)
{
    struct sim *sim = tab->sim;
    const struct sim_push *push = &sim->pushes[number];
    bool is_ours = false;
    for (size_t i = 0; i < push->push.n_targets; i++)
        is_ours |= push->users[i] == tab->user;
    if (!is_ours)
        sim_fail(sim, "tab %u of user %u was given push %u of another user", tab->number, tab->user,
                 number);
    if (push->push.ttl_s != 0)
        sim_fail(sim, "tab %u was given push %u, which was refused", tab->number, number);
    if (tab->had_ephemeral[number]++ > 0 && !push->may_repeat)
        sim_fail(sim, "tab %u was given push %u (ttl 0) twice", tab->number, number);
    sim->totals.ephemeral_had++;
}

void sim_model_had(struct sim_tab *tab, struct span data)
{
    struct sim *sim = tab->sim;
    static const char prefix[] = "{\"n\":";
    if (data.len < sizeof prefix || memcmp(data.bytes, prefix, sizeof prefix - 1) != 0)
        sim_fail(sim, "tab %u was given what nobody pushed", tab->number);
    uint32_t number = (uint32_t)strtoul(data.bytes + sizeof prefix - 1, NULL, 10);
    if (number >= sim->n_pushes || !span_equal(sim->pushes[number].push.data, data))
        sim_fail(sim, "tab %u was given data that differs from push %u", tab->number, number);

    struct sim_user *user = &sim->users[tab->user];
    uint64_t seq = sim->pushes[number].seqs[tab->user];
    sim_trace(sim, "tab %u of user %s has push %u seq %" PRIu64, tab->number, user->id, number,
              seq);
    if (tab->is_doomed && !sim_loss_is_kept(tab, number))
        return;
    if (seq == 0) {
        had_ephemeral(tab, number);
        return;
    }
    if (seq <= tab->last_seq)
        sim_fail(sim, "tab %u was given %" PRIu64 " after %" PRIu64, tab->number, seq,
                 tab->last_seq);
    check_skipped(tab, seq);
    struct sim_entry *entry = entry_of(user, seq);
    sim->totals.had++;
    sim->totals.repeated += entry->was_had;
    sim->totals.shared_users += sim_model_online(tab->node, tab->user) > 1;
    if (entry->is_unwritten && tab->session != NULL)
        sim_fail(sim, "tab %u was given %" PRIu64 ", which was withdrawn as not shown", tab->number,
                 seq);
    entry->was_had = true;
    tab->last_seq = seq;
    tab->had[tab->n_had++] = seq;
}

/* A ping says: up to this number you have had everything. */
void sim_model_covered(struct sim_tab *tab, uint64_t number)
{
    if (number > tab->sim->users[tab->user].head && !tab->is_doomed)
        sim_fail(tab->sim, "tab %u: a ping with %" PRIu64 ", a number never given", tab->number,
                 number);
    if (number < tab->last_seq)
        sim_fail(tab->sim, "tab %u: a ping with %" PRIu64 " behind %" PRIu64, tab->number, number,
                 tab->last_seq);
    check_skipped(tab, number + 1);
    tab->covered = number;
    tab->n_covered = tab->n_had;
}

void sim_model_ponged(struct sim_tab *tab)
{
    struct sim_user *user = &tab->sim->users[tab->user];
    for (; tab->n_ponged < tab->n_covered; tab->n_ponged++)
        if (!tab->is_doomed || tab->had[tab->n_ponged] <= tab->common)
            entry_of(user, tab->had[tab->n_ponged])->was_acked = true;
    if (tab->covered > tab->ponged)
        tab->ponged = tab->covered;
}

void sim_model_resumed(struct sim_tab *tab, const uint64_t *had, uint32_t n_had)
{
    for (uint32_t i = 0; i < n_had; i++)
        entry_of(&tab->sim->users[tab->user], had[i])->was_acked = true;
}

/* ---- the whole ---- */

void sim_model_compare(struct sim *sim)
{
    for (unsigned i = 0; i < sim->plan.n_users; i++) {
        const struct sim_user *user = &sim->users[i];
        struct store_peek peek = sim_store_peek(sim, i);
        uint64_t waiting = sim_model_count_waiting(sim, user);
        if (peek.head != user->head || peek.acked != user->stored || peek.pending != waiting)
            sim_fail(sim,
                     "user %s: the store has head %" PRIu64 " acked %" PRIu64 " pending %" PRIu64
                     ", expected %" PRIu64 " %" PRIu64 " %" PRIu64,
                     user->id, peek.head, peek.acked, peek.pending, user->head, user->stored,
                     waiting);
    }
}

void sim_model_count_fate(struct sim *sim, const struct sim_entry *entry)
{
    sim->totals.acked += entry->fate == SIM_ACKED;
    sim->totals.overflow += entry->fate == SIM_OVERFLOW;
    sim->totals.cancelled += entry->fate == SIM_CANCELLED;
    sim->totals.collapsed += entry->fate == SIM_COLLAPSED;
    sim->totals.expired += entry->fate == SIM_WAITING;
}

static void count_fates(struct sim *sim, const struct sim_user *user)
{
    for (uint64_t seq = 1; seq <= user->head; seq++) {
        if (sim_model_is_waiting(sim, user, seq))
            sim_fail(sim, "user %s: %" PRIu64 " still waits at the end", user->id, seq);
        sim_model_count_fate(sim, &user->entries[seq - 1]);
    }
}

/* What was withdrawn or collapsed while it could still be shown must have been hidden. */
static void check_hidden(const struct sim_tab *tab)
{
    struct sim *sim = tab->sim;
    const struct sim_user *user = &sim->users[tab->user];
    for (uint32_t i = 0; tab->is_v1 && !tab->is_doomed && !tab->may_show && i < tab->n_had; i++) {
        uint64_t seq = tab->had[i];
        const struct sim_entry *entry = &user->entries[seq - 1];
        enum sim_fate fate = entry->fate;
        bool is_unreported = (entry->unreported >> tab->node->index & 1) != 0;
        if (seq > tab->ponged && (!is_unreported || sim_gaps_must_be_known(sim, user)) &&
            (fate == SIM_CANCELLED || fate == SIM_COLLAPSED) && !tab->hidden[seq])
            sim_fail(sim, "tab %u still shows %" PRIu64 ", which was withdrawn", tab->number, seq);
    }
}

/* Whoever reads has everything that waits; after a calm it shows nothing else. */
static void check_tabs(struct sim *sim, bool is_calm)
{
    LIST_FOR_EACH(link, &sim->tabs)
    {
        struct sim_tab *tab = CONTAINER_OF(link, struct sim_tab, link);
        if (tab->session == NULL || tab->fd < 0 || tab->pace != SIM_FAST)
            continue;
        check_skipped(tab, sim->users[tab->user].head + 1);
        if (is_calm)
            check_hidden(tab);
    }
}

void sim_model_check_calm(struct sim *sim)
{
    check_tabs(sim, true);
}

void sim_model_check_end(struct sim *sim)
{
    check_tabs(sim, false);
    for (unsigned i = 0; i < sim->plan.n_users; i++)
        count_fates(sim, &sim->users[i]);
    sim_model_check_answers(sim);
}

void sim_model_check_answers(struct sim *sim)
{
    for (unsigned i = 0; i < sim->n_pushes; i++) {
        if (sim->pushes[i].n_answers != sim->pushes[i].n_asked)
            sim_fail(sim, "push %u was asked %u times and answered %u times", i,
                     sim->pushes[i].n_asked, sim->pushes[i].n_answers);
    }
}
