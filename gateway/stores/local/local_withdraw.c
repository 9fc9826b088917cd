/* Cancelling one number, and purging all that waits. */
#include "gateway/stores/local/local_apply.h"

/* All of from..to wait, and leave; the user's sessions are notified. */
static enum err withdraw_run(struct local_state *state, struct store_withdraw *withdraw,
                             struct inbox *inbox, uint64_t from, uint64_t to)
{
    if (!state->is_up || group_reserve(&state->group, 0, to - from + 1) != ERR_OK)
        return ERR_STORE_UNAVAILABLE;
    struct withdrawal *made = withdrawal_new(inbox->epoch, from, to, GAP_CANCELLED);
    if (made == NULL)
        return ERR_STORE_UNAVAILABLE;
    group_withdraw(&state->group, withdraw->user_id, made);
    withdraw->n_removed += to - from + 1;
    for (uint64_t seq = from; seq <= to; seq++)
        local_remove(state, inbox, waiting_seek(inbox->waiting, seq - 1), GAP_CANCELLED);
    return ERR_OK;
}

/* Up to which number the oldest are without a hole, at most `max`. */
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
static enum err withdraw_all(struct local_state *state, struct store_withdraw *withdraw,
                             struct inbox *inbox, int64_t now_ms)
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
        error = withdraw_run(state, withdraw, inbox, from,
                             end_of_run(waiting, local_changes_left(state)));
    }
    state->is_unfinished = error == ERR_OK && inbox_count(inbox) > 0;
    return error;
}

static enum err withdraw_one(struct local_state *state, struct store_withdraw *withdraw,
                             struct inbox *inbox, int64_t now_ms)
{
    enum err error =
        local_find_fate(inbox, withdraw->epoch, withdraw->seq, now_ms, &withdraw->found);
    if (error != ERR_OK || withdraw->found.fate != FATE_PENDING)
        return error;
    return withdraw_run(state, withdraw, inbox, withdraw->seq, withdraw->seq);
}

void local_apply_withdraw(struct local_state *state, struct store_withdraw *withdraw)
{
    withdraw->found = (struct store_found){FATE_GONE, GAP_UNKNOWN, false};
    withdraw->error = ERR_STORE_UNAVAILABLE;
    if (!state->is_readable)
        return;
    int64_t now_ms = local_now_ms(state);
    struct inbox *inbox = inbox_find(state->index.users, withdraw->user_id);
    if (!withdraw->is_all)
        withdraw->error = withdraw_one(state, withdraw, inbox, now_ms);
    else
        withdraw->error = inbox == NULL ? ERR_OK : withdraw_all(state, withdraw, inbox, now_ms);
}
