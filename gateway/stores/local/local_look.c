/* Asking what waits and what became of a number; withdrawing. */
#include "gateway/stores/local/local_apply.h"
#include "gateway/stores/local/local_blocks.h"

/* Answers the oldest. What has expired is among what waits while it cannot leave. */
static const struct waiting_entry *count_pending(struct local_state *state, struct inbox *inbox,
                                                 int64_t now_ms, uint64_t *ret_pending)
{
    const struct waiting_entry *oldest = NULL;
    local_drop_due(state, inbox, now_ms);
    const struct waiting *waiting = inbox->waiting;
    *ret_pending = waiting_count(waiting);
    if (waiting_count(waiting) > 0 && !waiting_has_expired(waiting, now_ms))
        return &waiting->entries[waiting_first(waiting)];
    for (size_t place = waiting_first(waiting); place < waiting_end(waiting);
         place = waiting_next(waiting, place)) {
        const struct waiting_entry *entry = &waiting->entries[place];
        bool is_pending = waiting_expires_ms(entry) > now_ms;
        *ret_pending -= !is_pending;
        if (is_pending && oldest == NULL)
            oldest = entry;
    }
    return oldest;
}

void local_apply_peek(struct local_state *state, struct store_peek *peek)
{
    peek->error = state->is_readable ? ERR_OK : ERR_STORE_UNAVAILABLE;
    peek->epoch = (struct epoch){{0}};
    peek->head = 0;
    peek->acked = 0;
    peek->pending = 0;
    peek->oldest_time_ms = 0;
    peek->blocked_until_ms = 0;
    if (!state->is_readable)
        return;
    int64_t now_ms = local_now_ms(state);
    peek->blocked_until_ms = local_blocked_until(state, peek->user_id, now_ms);
    struct inbox *inbox = inbox_find(state->index.users, peek->user_id);
    if (inbox == NULL)
        return;
    peek->epoch = inbox->epoch;
    peek->head = inbox->head;
    peek->acked = inbox->acked;

    const struct waiting_entry *oldest = count_pending(state, inbox, now_ms, &peek->pending);
    if (oldest == NULL)
        return;
    struct notification *note;
    peek->error = state->backing->ops->read(state->backing, &state->group, inbox, oldest, &note);
    if (peek->error != ERR_OK)
        return;
    peek->oldest_time_ms = note->time_ms;
    notification_unref(note);
}

/* NULL: nothing of this number waits. */
static const struct waiting_entry *find_entry(const struct inbox *inbox, uint64_t seq)
{
    size_t place = waiting_seek(inbox->waiting, seq - 1);
    if (place == waiting_end(inbox->waiting) || inbox->waiting->entries[place].seq != seq)
        return NULL;
    return &inbox->waiting->entries[place];
}

static void tell_fate(struct store_look *look, const struct inbox *inbox, int64_t now_ms)
{
    const struct waiting_entry *entry = find_entry(inbox, look->seq);
    look->is_written = look->seq <= inbox_written(inbox);
    look->fate = FATE_GONE;
    look->cause = gaps_find(inbox_gaps(inbox), look->seq);
    if (entry != NULL) {
        bool is_pending = waiting_expires_ms(entry) > now_ms;
        look->fate = is_pending ? FATE_PENDING : FATE_GONE;
        look->cause = is_pending ? GAP_NONE : GAP_EXPIRED;
    } else if (look->cause == GAP_NONE && look->seq <= inbox->acked) {
        look->fate = FATE_DELIVERED;
    } else if (look->cause == GAP_NONE) {
        look->cause = GAP_UNKNOWN;
    }
}

/* All of from..to wait, and leave; those who look at the user are told. */
static enum err withdraw(struct local_state *state, struct store_look *look, struct inbox *inbox,
                         uint64_t from, uint64_t to)
{
    if (!state->is_up || group_reserve(&state->group, 0, to - from + 1) != ERR_OK)
        return ERR_STORE_UNAVAILABLE;
    struct notification *note = notification_new_withdrawal(inbox->epoch, from, to);
    if (note == NULL)
        return ERR_STORE_UNAVAILABLE;
    group_withdraw(&state->group, look->user_id, note);
    look->n_removed += to - from + 1;
    for (uint64_t seq = from; seq <= to; seq++)
        local_remove(state, inbox, waiting_seek(inbox->waiting, seq - 1), GAP_CANCELLED);
    return ERR_OK;
}

/* Up to which number the oldest are without a hole, at most so many. */
static uint64_t end_of_run(const struct waiting *waiting, size_t max)
{
    size_t place = waiting_first(waiting);
    uint64_t seq = waiting->entries[place].seq;
    for (place = waiting_next(waiting, place);
         --max > 0 && place < waiting_end(waiting) && waiting->entries[place].seq == seq + 1;
         place = waiting_next(waiting, place))
        seq++;
    return seq;
}

/* What has expired leaves as that. What left before, between what waits, is not withdrawn: so there
 * is a withdrawal a run of numbers. Out of memory: what was withdrawn until then is. */
static enum err purge(struct local_state *state, struct store_look *look, struct inbox *inbox,
                      int64_t now_ms)
{
    size_t count = inbox_count(inbox);
    enum err error = ERR_OK;
    if (count == 0)
        return ERR_OK;
    if (!state->is_up || group_reserve(&state->group, 0, count) != ERR_OK)
        return ERR_STORE_UNAVAILABLE;
    local_drop_expired(state, inbox, now_ms);
    while (error == ERR_OK && inbox_count(inbox) > 0 && local_changes_left(state) > 0) {
        const struct waiting *waiting = inbox->waiting;
        uint64_t from = waiting->entries[waiting_first(waiting)].seq;
        error = withdraw(state, look, inbox, from, end_of_run(waiting, local_changes_left(state)));
    }
    state->is_unfinished = error == ERR_OK && inbox_count(inbox) > 0;
    return error;
}

/* One number, of the user if there is one. */
static enum err look_up(struct local_state *state, struct store_look *look, struct inbox *inbox,
                        int64_t now_ms)
{
    if (inbox == NULL)
        return ERR_NOT_FOUND;
    if (!epoch_equal(inbox->epoch, look->epoch)) {
        look->fate = FATE_GONE;
        look->cause = GAP_UNKNOWN;
        return ERR_OK;
    }
    if (look->seq == 0 || look->seq > inbox->head)
        return ERR_NOT_FOUND;
    tell_fate(look, inbox, now_ms);
    if (!look->is_cancel || look->fate != FATE_PENDING)
        return ERR_OK;
    return withdraw(state, look, inbox, look->seq, look->seq);
}

void local_apply_look(struct local_state *state, struct store_look *look)
{
    look->fate = FATE_GONE;
    look->cause = GAP_UNKNOWN;
    if (!state->is_resumed)
        look->n_removed = 0;
    look->is_written = false;
    look->error = ERR_STORE_UNAVAILABLE;
    if (!state->is_readable)
        return;
    int64_t now_ms = local_now_ms(state);
    struct inbox *inbox = inbox_find(state->index.users, look->user_id);
    if (!look->is_purge)
        look->error = look_up(state, look, inbox, now_ms);
    else
        look->error = inbox == NULL ? ERR_OK : purge(state, look, inbox, now_ms);
}
