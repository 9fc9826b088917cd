/* An append finds or makes the user, checks the idempotency key and the ceilings, gives the next
 * number and puts the note into the index and the group at once: a page further down the same batch
 * reads it from the group, and a repeat finds the first. If the group then fails, local_core.c
 * builds the whole index anew, so nothing here is ever taken back.
 *
 * A target is first refused, or answered as a repeat, and only then anything is changed: what
 * follows the reservations in number_and_put cannot fail. */
#include "gateway/base/metrics.h"
#include "gateway/stores/local/local_alerts.h"
#include "gateway/stores/local/local_apply.h"

#include <stdlib.h>

/* ---- idempotency keys ---- */

/* Has the key been answered before? Then the target's answer is that, or the refusal. */
static bool answer_repeat(const struct local_state *state, const struct store_append *append,
                          struct store_target *target)
{
    if (append->idempotency_key.len == 0)
        return false;
    const struct idempotency *first =
        idempotency_find(state->index.keys, target->user_id, append->idempotency_key);
    if (first == NULL || first->time_ms + state->idempotency_window_ms <= target->time_ms)
        return false;
    if (memcmp(&first->print, &append->print, sizeof first->print) != 0) {
        target->error = ERR_IDEMPOTENCY_MISMATCH;
        metrics_count(METRIC_MISMATCHES);
        return true;
    }
    target->error = ERR_OK;
    target->is_duplicate = true;
    target->epoch = first->epoch;
    target->seq = first->seq;
    target->time_ms = first->time_ms;
    target->expires_ms = first->expires_ms;
    metrics_count(METRIC_DUPLICATES);
    return true;
}

static bool must_remember(const struct local_state *state, const struct store_append *append)
{
    return append->idempotency_key.len > 0 && state->idempotency_window_ms > 0;
}

/* Room in the group is reserved. */
static enum err remember_key(struct local_state *state, const struct store_append *append,
                             const struct store_target *target, const struct notification *note)
{
    struct idempotency entry = {
        .print = append->print,
        .epoch = note->epoch,
        .seq = note->seq,
        .time_ms = note->time_ms,
        .expires_ms = note->expires_ms,
    };
    struct idempotency *added =
        idempotency_add(state->index.keys, target->user_id, append->idempotency_key, &entry);
    if (added == NULL)
        return ERR_STORE_UNAVAILABLE;
    group_write_key(&state->group,
                    (struct group_key){target->user_id, append->idempotency_key, added});
    return ERR_OK;
}

/* ---- what leaves for the new one ---- */

/* What is compared with the entries that may have the payload's collapse key. */
struct collapse {
    struct local_state *state;
    const struct inbox *inbox;
    const struct payload *payload;
    enum err error;
};

/* After a failed read there is nothing more to look for. */
static bool has_same_key(void *owner, const struct waiting_entry *entry)
{
    struct collapse *collapse = owner;
    struct local_state *state = collapse->state;
    struct notification *note;
    collapse->error =
        state->backing->ops->read(state->backing, &state->group, collapse->inbox, entry, &note);
    if (collapse->error != ERR_OK)
        return true;
    bool is_same = span_equal(payload_key(note->payload), payload_key(collapse->payload));
    notification_unref(note);
    return is_same;
}

/* The number of the waiting entry with the payload's collapse key; 0: there is none. What has
 * expired leaves first: it is not replaced, and many of one key would have to be passed over. Room
 * in the group is reserved. */
static enum err find_collapsed(struct local_state *state, struct inbox *inbox,
                               const struct payload *payload, int64_t now_ms, uint32_t tag,
                               uint64_t *ret_seq)
{
    *ret_seq = 0;
    if (tag == 0)
        return ERR_OK;
    local_drop_expired(state, inbox, now_ms);
    struct collapse collapse = {state, inbox, payload, ERR_OK};
    size_t place = waiting_find(inbox->waiting, tag, has_same_key, &collapse);
    if (collapse.error != ERR_OK)
        return ERR_STORE_UNAVAILABLE;
    if (place < waiting_end(inbox->waiting))
        *ret_seq = inbox->waiting->entries[place].seq;
    return ERR_OK;
}

static bool is_over(const struct local_state *state, const struct inbox *inbox)
{
    return inbox_count(inbox) > state->inbox_max || inbox_bytes(inbox) > state->inbox_max_bytes;
}

/* The newest always stays. Expired ones leave first, so that they push no other out. */
static void push_out_oldest(struct local_state *state, struct inbox *inbox, int64_t now_ms)
{
    if (!is_over(state, inbox))
        return;
    local_drop_expired(state, inbox, now_ms);
    while (is_over(state, inbox) && inbox_count(inbox) > 1)
        local_remove(state, inbox, waiting_first(inbox->waiting), GAP_OVERFLOW);
}

/* ---- the new one ---- */

static void put_note(struct local_state *state, struct inbox *inbox, struct notification *note,
                     struct span user_id, uint64_t shared_key, uint32_t tag)
{
    struct backing *backing = state->backing;
    uint64_t key = backing->ops->note_key(backing, note);
    uint32_t distance = shared_key == 0 ? 0 : (uint32_t)(key - shared_key);
    group_put(
        &state->group,
        (struct group_put){.user_id = user_id, .note = note, .key = key, .distance = distance});
    inbox->head++;
    inbox->sign_day = local_day_of(note->time_ms);
    waiting_push(inbox->waiting, (struct waiting_entry){.key = key,
                                                        .seq = inbox->head,
                                                        .due = waiting_due(note->expires_ms, tag),
                                                        .bytes = note->payload->len,
                                                        .distance = distance});
}

/* Where there is no room for a little either, nothing more is tried until the backing has some. */
static enum err take_room(struct local_state *state, uint64_t bytes)
{
    struct backing *backing = state->backing;
    enum err error = backing->ops->take_room(backing, state->group.bytes + bytes,
                                             state->group.event_bytes, state->why_full);
    state->is_at_ceiling = error == ERR_FULL;
    if (error == ERR_STORE_UNAVAILABLE)
        state->is_full = backing->ops->probe(backing, state->why_full) == ERR_FULL;
    return error;
}

static enum err number_and_put(struct local_state *state, struct inbox *inbox,
                               struct store_append *append, struct store_target *target,
                               uint64_t shared_key)
{
    uint64_t collapsed;
    uint32_t tag = waiting_tag(payload_key(append->payload));
    uint64_t bytes = append->payload->len + GROUP_PUT_OVERHEAD_BYTES +
                     (must_remember(state, append) ? GROUP_KEY_BYTES : 0u);
    enum err error = take_room(state, bytes);
    if (error != ERR_OK)
        return error;
    if (group_reserve(&state->group, 1, inbox_count(inbox) + 1) != ERR_OK ||
        find_collapsed(state, inbox, append->payload, target->time_ms, tag, &collapsed) != ERR_OK ||
        waiting_reserve(&inbox->waiting, tag) != ERR_OK)
        return ERR_STORE_UNAVAILABLE;
    struct notification *note = notification_new(append->payload, inbox->epoch, inbox->head + 1,
                                                 target->time_ms, target->expires_ms);
    if (note == NULL)
        return ERR_STORE_UNAVAILABLE;
    if (must_remember(state, append) && remember_key(state, append, target, note) != ERR_OK) {
        notification_unref(note);
        return ERR_STORE_UNAVAILABLE;
    }
    note->acked = inbox->acked;
    note->replaces = collapsed;
    put_note(state, inbox, note, target->user_id, shared_key, tag);
    if (collapsed != 0)
        local_remove(state, inbox, waiting_seek(inbox->waiting, collapsed - 1), GAP_COLLAPSED);
    push_out_oldest(state, inbox, target->time_ms);
    target->epoch = inbox->epoch;
    target->seq = inbox->head;
    return ERR_OK;
}

/* What the node's sessions have acknowledged and not written yet leaves with the push: it neither
 * counts towards a full inbox nor is replaced, and the new note carries the position, which spares
 * the user's record. */
static enum err carry_position(struct local_state *state, struct inbox *inbox,
                               const struct store_target *target)
{
    if (inbox_devices(inbox) != NULL || target->known_acked > inbox->head ||
        !epoch_equal(target->known_epoch, inbox->epoch))
        return ERR_OK;
    return local_carry(state, inbox, target->known_acked);
}

static enum err append_to_user(struct local_state *state, struct inbox *inbox,
                               struct store_append *append, struct store_target *target,
                               uint64_t shared_key)
{
    uint64_t acked = inbox->acked;
    enum err error = carry_position(state, inbox, target);
    if (error == ERR_OK)
        error = number_and_put(state, inbox, append, target, shared_key);
    if (error != ERR_OK && inbox->acked > acked)
        group_write_user(&state->group, inbox); /* there is no note that carries the position */
    return error;
}

static enum err append_target(struct local_state *state, struct store_append *append,
                              struct store_target *target, uint64_t shared_key)
{
    struct inbox *inbox = inbox_find(state->index.users, target->user_id);
    bool is_new = inbox == NULL;
    if (is_new)
        inbox = local_add_user(state, target->user_id, target->time_ms);
    if (inbox == NULL)
        return ERR_STORE_UNAVAILABLE;
    enum err error = ERR_OK;
    if (!is_new && local_has_lost_numbers(inbox, target->known_epoch, target->known_head))
        error = local_begin_epoch(state, inbox);
    if (error == ERR_OK)
        error = append_to_user(state, inbox, append, target, shared_key);
    if (error != ERR_OK && is_new)
        inbox_remove(state->index.users, inbox); /* nothing of it was kept: leave no trace */
    return error;
}

/* Several appends of one payload, which a push to many users is cut into, share its record as long
 * as they follow each other in one group. */
static uint64_t shared_key_of(struct local_state *state, const struct store_append *append)
{
    if (!state->is_up || state->is_full || append->n_targets < 2)
        return 0;
    if (state->group.shared_payload == append->payload)
        return state->group.shared_key;
    return state->backing->ops->payload_key(state->backing);
}

/* With an alert, if it asks for one: in the same transaction, or nothing is kept. */
static void append_one(struct local_state *state, struct store_append *append,
                       struct store_target *target, uint64_t shared_key)
{
    struct alert *alert = NULL;
    if (append->alert_after_s != 0) {
        target->error = local_prepare_alert(state, target->user_id, &alert);
        if (target->error != ERR_OK)
            return;
    }
    target->error = append_target(state, append, target, shared_key);
    if (alert != NULL && target->error == ERR_OK)
        local_add_alert(state, alert, target, append->alert_after_s);
    else
        free(alert);
    if (target->error == ERR_FULL)
        metrics_count(METRIC_STORE_REFUSED_CEILING);
}

static void repeat_alert(struct local_state *state, const struct store_append *append,
                         struct store_target *target)
{
    if (append->alert_after_s == 0 || !target->is_duplicate)
        return;
    target->error = local_repeat_alert(state, target, append->alert_after_s);
    target->is_duplicate = target->error == ERR_OK;
}

void local_apply_append(struct local_state *state, struct store_append *append)
{
    int64_t now_ms = local_now_ms(state);
    uint64_t shared_key = shared_key_of(state, append);
    for (size_t i = 0; i < append->n_targets; i++) {
        struct store_target *target = &append->targets[i];
        target->nodes = 0;
        target->has_devices = false;
        target->is_duplicate = false;
        target->time_ms = now_ms;
        target->expires_ms = now_ms + (int64_t)append->ttl_s * 1000;
        target->error = ERR_STORE_UNAVAILABLE;
        if (!state->is_up)
            continue;
        if (answer_repeat(state, append, target)) {
            repeat_alert(state, append, target);
            continue;
        }
        if (!state->is_full)
            append_one(state, append, target, shared_key);
        if (target->error == ERR_STORE_UNAVAILABLE && state->is_full)
            metrics_count(METRIC_STORE_REFUSED_DISK);
    }
}
