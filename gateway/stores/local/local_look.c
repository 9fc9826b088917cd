/* Asking what waits, and what became of a number. */
#include "gateway/stores/local/local_apply.h"
#include "gateway/stores/local/local_blocks.h"
#include "gateway/stores/local/local_events.h"

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
    struct partition *partition = inbox == NULL ? local_partition_of(state, peek->user_id) : NULL;
    if (partition != NULL)
        local_peek_partition(state, peek, partition);
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

void local_apply_look(struct local_state *state, struct store_look *look)
{
    look->found = (struct store_found){FATE_GONE, GAP_UNKNOWN, false};
    look->error = ERR_STORE_UNAVAILABLE;
    if (!state->is_readable)
        return;
    const struct inbox *inbox = inbox_find(state->index.users, look->user_id);
    look->error = local_find_fate(inbox, look->epoch, look->seq, local_now_ms(state), &look->found);
}
