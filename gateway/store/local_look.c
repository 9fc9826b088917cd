/* Asking what waits and what became of a number; withdrawing. */
#include "gateway/store/local_apply.h"
#include "gateway/store/local_blocks.h"

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
    const struct inbox *inbox = inbox_find(state->index.users, peek->user_id);
    if (inbox == NULL)
        return;
    peek->epoch = inbox->epoch;
    peek->head = inbox->head;
    peek->acked = inbox->acked;

    const struct inbox_entry *entries = inbox_entries(inbox);
    const struct inbox_entry *oldest = NULL;
    for (size_t i = inbox_count(inbox); i-- > 0;) {
        if (inbox_expires_ms(&entries[i]) <= now_ms)
            continue;
        peek->pending++;
        oldest = &entries[i];
    }
    if (oldest == NULL)
        return;
    struct notification *note;
    peek->error = state->backing->ops->read(state->backing, &state->group, inbox, oldest, &note);
    if (peek->error != ERR_OK)
        return;
    peek->oldest_time_ms = note->time_ms;
    notification_unref(note);
}

/* The index of a number's entry; the count of all if it has none. */
static size_t find_entry(const struct inbox *inbox, uint64_t seq)
{
    size_t at = inbox_seek(inbox, seq - 1);
    size_t count = inbox_count(inbox);
    return at < count && inbox_entries(inbox)[at].seq == seq ? at : count;
}

static void tell_fate(struct store_look *look, const struct inbox *inbox, size_t at, int64_t now_ms)
{
    look->is_written = look->seq <= inbox_written(inbox);
    look->fate = FATE_GONE;
    look->cause = gaps_find(inbox_gaps(inbox), look->seq);
    if (at < inbox_count(inbox)) {
        bool is_pending = inbox_expires_ms(&inbox_entries(inbox)[at]) > now_ms;
        look->fate = is_pending ? FATE_PENDING : FATE_GONE;
        look->cause = is_pending ? GAP_NONE : GAP_EXPIRED;
    } else if (look->cause == GAP_NONE && look->seq <= inbox->acked) {
        look->fate = FATE_DELIVERED;
    } else if (look->cause == GAP_NONE) {
        look->cause = GAP_UNKNOWN;
    }
}

/* All entries of from..to leave, and those who look at the user are told. */
static enum err withdraw(struct local_state *state, struct store_look *look, struct inbox *inbox,
                         size_t begin, size_t end)
{
    if (begin == end)
        return ERR_OK;
    if (!state->is_up || group_reserve(&state->group, 0, end - begin) != ERR_OK)
        return ERR_STORE_UNAVAILABLE;
    const struct inbox_entry *entries = inbox_entries(inbox);
    struct notification *note =
        notification_new_withdrawal(inbox->epoch, entries[begin].seq, entries[end - 1].seq);
    if (note == NULL)
        return ERR_STORE_UNAVAILABLE;
    group_withdraw(&state->group, look->user_id, note);
    look->n_removed += end - begin;
    while (end > begin)
        local_remove(state, inbox, --end, GAP_CANCELLED);
    return ERR_OK;
}

/* How many entries follow each other without a hole in the numbers. */
static size_t run_length(const struct inbox *inbox)
{
    const struct inbox_entry *entries = inbox_entries(inbox);
    size_t n = 1;
    while (n < inbox_count(inbox) && entries[n].seq == entries[n - 1].seq + 1)
        n++;
    return n;
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
    while (error == ERR_OK && inbox_count(inbox) > 0)
        error = withdraw(state, look, inbox, 0, run_length(inbox));
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
    size_t at = find_entry(inbox, look->seq);
    tell_fate(look, inbox, at, now_ms);
    if (!look->is_cancel || look->fate != FATE_PENDING)
        return ERR_OK;
    return withdraw(state, look, inbox, at, at + 1);
}

void local_apply_look(struct local_state *state, struct store_look *look)
{
    look->fate = FATE_GONE;
    look->cause = GAP_UNKNOWN;
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
