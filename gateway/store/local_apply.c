/* A user's way through the index.
 *
 * An append finds or makes the user, checks the ceilings, gives the next number and puts the note
 * into the index and the group at once: a page further down the same batch reads it from the group.
 * If the group then fails, local_core.c builds the whole index anew, so nothing here is ever taken
 * back.
 *
 * A user's own record (epoch, head, acked) is written only when its notes no longer tell the same:
 * when the position moves, when the note that carries the highest number leaves unacknowledged,
 * when an epoch begins without a note, and once a day as a sign of life. */
#include "gateway/store/local_apply.h"

#include <stdlib.h>

enum { DAY_MS = 24 * 3600 * 1000, SWEEP_SLICE_MS = 1000, SWEEP_ROUND_MS = 60 * 1000 };

static uint16_t day_of(int64_t time_ms)
{
    return (uint16_t)(time_ms / DAY_MS);
}

/* ---- users ---- */

static struct inbox *add_user(struct local_core *core, struct span user_id, int64_t now_ms)
{
    struct epoch epoch;
    if (epoch_random(&epoch) != ERR_OK)
        return NULL;
    struct inbox *inbox = inbox_add(core->table, user_id, epoch);
    if (inbox != NULL)
        inbox->sign_day = day_of(now_ms);
    return inbox;
}

/* Does the caller know a higher number of this epoch than we ever gave? Then the file is an older
 * one. A caller that knows another epoch learns of the present one by the answer. */
static bool has_lost_numbers(const struct inbox *inbox, struct epoch known_epoch,
                             uint64_t known_head)
{
    return inbox->head < known_head &&
           (epoch_is_none(known_epoch) || epoch_equal(known_epoch, inbox->epoch));
}

static enum err begin_epoch(struct local_core *core, struct inbox *inbox)
{
    struct epoch epoch;
    size_t count = inbox_count(inbox);
    if (group_reserve(&core->group, 0, count) != ERR_OK || epoch_random(&epoch) != ERR_OK)
        return ERR_STORE_UNAVAILABLE;
    for (size_t i = 0; i < count; i++)
        group_del(&core->group, &inbox_entries(inbox)[i]);
    inbox_drop_oldest(inbox, count);
    inbox->epoch = epoch;
    inbox->head = 0;
    inbox->acked = 0;
    group_write_user(&core->group, inbox);
    core->group.n_resyncs++;
    return ERR_OK;
}

/* ---- append ---- */

static void leave_expired(void *owner, const struct inbox_entry *entry)
{
    group_del(owner, entry);
}

/* Room in the group is reserved for all entries. */
static void drop_expired(struct local_core *core, struct inbox *inbox, int64_t now_ms)
{
    size_t count = inbox_count(inbox);
    if (count == 0)
        return;
    bool has_head = inbox_entries(inbox)[count - 1].seq == inbox->head;
    core->group.n_expired += inbox_drop_expired(inbox, now_ms, leave_expired, &core->group);
    count = inbox_count(inbox);
    if (has_head && (count == 0 || inbox_entries(inbox)[count - 1].seq != inbox->head))
        group_write_user(&core->group, inbox);
}

static bool is_over(const struct local_core *core, const struct inbox *inbox)
{
    return inbox_count(inbox) > core->inbox_max || inbox_bytes(inbox) > core->inbox_max_bytes;
}

/* The newest always stays. Expired ones leave first, so that they push nobody out. */
static void push_out_oldest(struct local_core *core, struct inbox *inbox, int64_t now_ms)
{
    if (!is_over(core, inbox))
        return;
    drop_expired(core, inbox, now_ms);
    while (is_over(core, inbox) && inbox_count(inbox) > 1) {
        group_del(&core->group, inbox_entries(inbox));
        inbox_drop_oldest(inbox, 1);
        core->group.n_overflow++;
    }
}

static enum err number_and_put(struct local_core *core, struct inbox *inbox,
                               struct store_append *append, struct store_target *target,
                               uint64_t payload_key)
{
    uint64_t bytes = append->payload->len + GROUP_PUT_OVERHEAD_BYTES;
    if (!core->backing->ops->has_room(core->backing, core->group.bytes + bytes))
        return ERR_FULL;
    if (group_reserve(&core->group, 1, inbox_count(inbox) + 1) != ERR_OK ||
        inbox_reserve(inbox) != ERR_OK)
        return ERR_STORE_UNAVAILABLE;
    struct notification *note = notification_new(append->payload, inbox->epoch, inbox->head + 1,
                                                 append->time_ms, append->expires_ms);
    if (note == NULL)
        return ERR_STORE_UNAVAILABLE;

    uint64_t key = core->backing->ops->note_key(core->backing, note);
    uint32_t distance = payload_key == 0 ? 0 : (uint32_t)(key - payload_key);
    group_put(&core->group, (struct group_put){target->user_id, note, key, distance});
    inbox->head++;
    inbox->sign_day = day_of(append->time_ms);
    inbox_push(inbox, (struct inbox_entry){.key = key,
                                           .seq = inbox->head,
                                           .expires_ms = append->expires_ms,
                                           .bytes = append->payload->len,
                                           .distance = distance});
    push_out_oldest(core, inbox, append->time_ms);
    target->epoch = inbox->epoch;
    target->seq = inbox->head;
    return ERR_OK;
}

static enum err append_target(struct local_core *core, struct store_append *append,
                              struct store_target *target, uint64_t payload_key)
{
    struct inbox *inbox = inbox_find(core->table, target->user_id);
    bool is_new = inbox == NULL;
    if (is_new)
        inbox = add_user(core, target->user_id, append->time_ms);
    if (inbox == NULL)
        return ERR_STORE_UNAVAILABLE;
    enum err error = ERR_OK;
    if (!is_new && has_lost_numbers(inbox, target->known_epoch, target->known_head))
        error = begin_epoch(core, inbox);
    if (error == ERR_OK)
        error = number_and_put(core, inbox, append, target, payload_key);
    if (error != ERR_OK && is_new)
        inbox_remove(core->table, inbox); /* nothing of it was kept: leave no trace */
    return error;
}

void local_apply_append(struct local_core *core, struct store_append *append)
{
    append->time_ms = local_core_now_ms(core);
    append->expires_ms = append->time_ms + (int64_t)append->ttl_s * 1000;
    uint64_t payload_key =
        core->is_up && append->n_targets > 1 ? core->backing->ops->payload_key(core->backing) : 0;
    for (size_t i = 0; i < append->n_targets; i++) {
        struct store_target *target = &append->targets[i];
        target->nodes = 0;
        target->error =
            core->is_up ? append_target(core, append, target, payload_key) : ERR_STORE_UNAVAILABLE;
    }
}

/* ---- page ---- */

void local_page_fail(struct store_page *page, enum err error)
{
    for (size_t i = 0; i < page->n_notes; i++)
        notification_unref(page->notes[i]);
    free(page->notes);
    page->notes = NULL;
    page->n_notes = 0;
    page->error = error;
}

/* The user that a page is read for; begins a new epoch where the contract says so. NULL: nothing
 * was ever pushed to this user. Nobody is made for the mere sake of a connection: that would cost
 * each one a commit. */
static enum err find_for_page(struct local_core *core, const struct store_page *page,
                              int64_t now_ms, struct inbox **ret_inbox)
{
    if (!core->is_readable)
        return ERR_STORE_UNAVAILABLE;
    struct inbox *inbox = inbox_find(core->table, page->user_id);
    *ret_inbox = NULL;
    if (inbox == NULL && epoch_is_none(page->known_epoch))
        return ERR_OK;
    bool must_begin = inbox != NULL && has_lost_numbers(inbox, page->known_epoch, page->known_head);
    if (inbox != NULL && !must_begin && (!core->is_up || inbox->sign_day == day_of(now_ms))) {
        *ret_inbox = inbox;
        return ERR_OK;
    }
    if (!core->is_up || group_reserve(&core->group, 0, 0) != ERR_OK)
        return ERR_STORE_UNAVAILABLE;
    if (inbox == NULL)
        inbox = add_user(core, page->user_id, now_ms);
    else if (must_begin && begin_epoch(core, inbox) != ERR_OK)
        return ERR_STORE_UNAVAILABLE;
    if (inbox == NULL)
        return ERR_STORE_UNAVAILABLE;
    inbox->sign_day = day_of(now_ms);
    group_write_user(&core->group, inbox);
    *ret_inbox = inbox;
    return ERR_OK;
}

/* Takes entries from index `at` on; page->last says how far it came. */
static enum err take_entries(struct local_core *core, struct store_page *page,
                             const struct inbox *inbox, size_t at, int64_t now_ms)
{
    const struct inbox_entry *entries = inbox_entries(inbox);
    size_t count = inbox_count(inbox);
    uint64_t bytes = 0;
    for (; at < count; at++) {
        const struct inbox_entry *entry = &entries[at];
        if (entry->expires_ms > now_ms) {
            bytes += entry->bytes;
            if (page->n_notes == page->max_count || (page->n_notes > 0 && bytes > page->max_bytes))
                return ERR_OK;
            enum err error = core->backing->ops->read(core->backing, &core->group, inbox, entry,
                                                      &page->notes[page->n_notes]);
            if (error != ERR_OK)
                return error;
            page->n_notes++;
        }
        page->last = entry->seq;
    }
    page->last = inbox->head;
    return ERR_OK;
}

void local_apply_page(struct local_core *core, struct store_page *page)
{
    page->n_notes = 0;
    page->notes = NULL;
    int64_t now_ms = local_core_now_ms(core);
    struct inbox *inbox = NULL;
    page->error = find_for_page(core, page, now_ms, &inbox);
    page->epoch = (struct epoch){{0}};
    page->head = 0;
    page->acked = 0;
    page->last = 0;
    if (page->error != ERR_OK || inbox == NULL)
        return;
    page->epoch = inbox->epoch;
    page->head = inbox->head;
    page->acked = inbox->acked;

    uint64_t position = page->from_acked ? inbox->acked : page->after;
    page->last = position;
    size_t at = inbox_seek(inbox, position);
    size_t room = inbox_count(inbox) - at;
    if (room > page->max_count)
        room = page->max_count;
    if (room > 0) {
        page->notes = malloc(room * sizeof(struct notification *));
        if (page->notes == NULL) {
            page->error = ERR_NO_MEMORY;
            return;
        }
    }
    enum err error = take_entries(core, page, inbox, at, now_ms);
    if (error != ERR_OK)
        local_page_fail(page, error);
}

/* ---- ack and peek ---- */

void local_apply_ack(struct local_core *core, struct store_ack *ack)
{
    ack->error = ERR_STORE_UNAVAILABLE;
    if (!core->is_readable)
        return;
    struct inbox *inbox = inbox_find(core->table, ack->user_id);
    if (inbox == NULL || !epoch_equal(inbox->epoch, ack->epoch) || ack->seq > inbox->head) {
        ack->error = ERR_STALE_EPOCH;
        return;
    }
    if (ack->seq <= inbox->acked) {
        ack->error = ERR_OK;
        return;
    }
    size_t n_left = inbox_seek(inbox, ack->seq);
    if (!core->is_up || group_reserve(&core->group, 0, n_left) != ERR_OK)
        return;
    for (size_t i = 0; i < n_left; i++)
        group_del(&core->group, &inbox_entries(inbox)[i]);
    if (n_left > 0)
        inbox_drop_oldest(inbox, n_left);
    inbox->acked = ack->seq;
    inbox->sign_day = day_of(local_core_now_ms(core));
    group_write_user(&core->group, inbox);
    ack->error = ERR_OK;
}

void local_apply_peek(struct local_core *core, struct store_peek *peek)
{
    peek->error = core->is_readable ? ERR_OK : ERR_STORE_UNAVAILABLE;
    peek->epoch = (struct epoch){{0}};
    peek->head = 0;
    peek->acked = 0;
    peek->pending = 0;
    peek->oldest_time_ms = 0;
    struct inbox *inbox = core->is_readable ? inbox_find(core->table, peek->user_id) : NULL;
    if (inbox == NULL)
        return;
    peek->epoch = inbox->epoch;
    peek->head = inbox->head;
    peek->acked = inbox->acked;

    int64_t now_ms = local_core_now_ms(core);
    const struct inbox_entry *entries = inbox_entries(inbox);
    const struct inbox_entry *oldest = NULL;
    for (size_t i = inbox_count(inbox); i-- > 0;) {
        if (entries[i].expires_ms <= now_ms)
            continue;
        peek->pending++;
        oldest = &entries[i];
    }
    if (oldest == NULL)
        return;
    struct notification *note;
    peek->error = core->backing->ops->read(core->backing, &core->group, inbox, oldest, &note);
    if (peek->error != ERR_OK)
        return;
    peek->oldest_time_ms = note->time_ms;
    notification_unref(note);
}

/* ---- what leaves by itself ---- */

struct sweep {
    struct local_core *core;
    int64_t now_ms;
};

static void sweep_user(void *owner, struct inbox *inbox)
{
    struct sweep *sweep = owner;
    struct local_core *core = sweep->core;
    size_t count = inbox_count(inbox);
    if (count == 0 && day_of(sweep->now_ms) <= inbox->sign_day + STORE_FORGET_DAYS)
        return;
    if (group_reserve(&core->group, 0, count + 1) != ERR_OK)
        return; /* the next round finds it again */
    if (count > 0) {
        drop_expired(core, inbox, sweep->now_ms);
    } else if (!inbox->is_dirty) {
        /* Signs are kept to the day: a day more makes sure that it is never less than promised. */
        group_del_user(&core->group, inbox);
        inbox_remove(core->table, inbox);
    }
}

void local_apply_sweep(struct local_core *core)
{
    int64_t now_ms = local_core_now_ms(core);
    int64_t passed_ms = now_ms - core->swept_ms;
    if (!core->is_up || (passed_ms >= 0 && passed_ms < SWEEP_SLICE_MS))
        return;
    if (passed_ms < 0 || passed_ms > SWEEP_ROUND_MS)
        passed_ms = SWEEP_ROUND_MS;
    core->swept_ms = now_ms;
    struct sweep sweep = {core, now_ms};
    size_t n_buckets = inbox_table_buckets(core->table) * (size_t)passed_ms / SWEEP_ROUND_MS + 1;
    inbox_table_visit(core->table, n_buckets, sweep_user, &sweep);
}
