/* Events come in at the high end of a partition and leave at the low end. What may fail (memory,
 * room on the disk) is taken first, for all events of a request; what follows cannot fail, so a
 * request is done as a whole or not at all.
 *
 * Why events leave: all consumers have read them (local_drop_read), the partition is full, or their
 * time is over. The record of each event says up to which number others have left then, so pushing
 * out costs no further record; a partition's own record is written when positions move and when
 * events expire.
 *
 * Expiry is coarse: each second at most EXPIRE_A_SECOND leave. Where so many come that this is not
 * enough, each that is appended takes two with it. */
#include "gateway/stores/local/local_events.h"

#include "gateway/base/metrics.h"
#include "gateway/stores/local/local_apply.h"

#include <stdlib.h>

enum { EXPIRE_A_SECOND = 256, EXPIRE_AN_EVENT = 2, LATE_MS = 30 * 1000 };

struct partition *local_partition_of(const struct local_state *state, struct span user_id)
{
    unsigned number;
    return store_is_partition_user(user_id, &number) ? &state->index.events->list[number] : NULL;
}

enum err local_begin_partition(struct local_state *state, struct partition *partition)
{
    if (partition_is_begun(partition))
        return ERR_OK;
    if (epoch_random(&partition->epoch) != ERR_OK)
        return ERR_STORE_UNAVAILABLE;
    group_write_partition(&state->group, partition);
    return ERR_OK;
}

/* ---- leaving ---- */

static void drop_oldest(struct local_state *state, struct partition *partition,
                        enum gap_cause cause)
{
    struct partition_entry entry = partition_drop(partition, cause);
    group_del_event(&state->group, entry.key, entry.bytes);
    state->backing->event_bytes -= entry.bytes + GROUP_PUT_OVERHEAD_BYTES;
    state->group.counts.n_events_expired += cause == GAP_EXPIRED;
    state->group.counts.n_events_overflow += cause == GAP_OVERFLOW;
}

void local_drop_read(struct local_state *state, struct partition *partition)
{
    partition_follow(partition);
    while (partition->n > 0 && partition_left(partition) < partition->acked)
        drop_oldest(state, partition, GAP_NONE);
}

static bool is_filling(const struct local_state *state, const struct partition *partition)
{
    return (uint64_t)partition->n * 4 >= (uint64_t)state->events_max * 3 ||
           partition->bytes >= state->events_max_bytes / 4 * 3;
}

/* A consumer that began behind what is kept has moved nothing yet, and there may be no event that
 * it could acknowledge. */
bool local_is_partition_filling(struct local_state *state, struct partition *partition)
{
    if (is_filling(state, partition) && consumers_count(partition->consumers) > 0 &&
        consumers_lowest(partition->consumers) > partition->acked && local_can_add(state) &&
        group_reserve(&state->group, 0, partition->n) == ERR_OK) {
        local_drop_read(state, partition);
        group_write_partition(&state->group, partition);
    }
    return is_filling(state, partition);
}

/* At most `max` that should have left by then. Room in the group is reserved for these. */
static void expire_oldest(struct local_state *state, struct partition *partition, int64_t then_ms,
                          size_t max)
{
    size_t n_expired = 0;
    for (; n_expired < max && partition->n > 0; n_expired++) {
        const struct partition_entry *oldest =
            partition_at(partition, partition_left(partition) + 1);
        if (oldest->time_ms + state->event_ttl_ms > then_ms)
            break;
        drop_oldest(state, partition, GAP_EXPIRED);
    }
    if (n_expired > 0)
        group_write_partition(&state->group, partition);
}

static bool is_over(const struct local_state *state, const struct partition *partition,
                    uint32_t more_bytes)
{
    return partition->n + 1 > state->events_max ||
           partition->bytes + more_bytes > state->events_max_bytes;
}

/* ---- coming ---- */

struct notification *local_make_event(const struct local_state *state,
                                      const struct partition *partition, struct span data,
                                      int64_t now_ms)
{
    struct payload *payload = payload_new_keyed(data, SPAN_NONE);
    if (payload == NULL)
        return NULL;
    struct notification *note =
        notification_new(payload, partition->epoch, 0, now_ms, now_ms + state->event_ttl_ms);
    payload_unref(payload);
    return note;
}

/* The ceiling of the whole store is for users. Where the disk has no room for a little either,
 * nothing more is tried until it has some. */
enum err local_take_event_room(struct local_state *state, uint64_t bytes)
{
    struct backing *backing = state->backing;
    const struct group *group = &state->group;
    enum err error = backing->ops->take_room(backing, 0, group->bytes + group->event_bytes + bytes,
                                             state->why_full);
    if (error == ERR_OK)
        return ERR_OK;
    state->is_full = backing->ops->probe(backing, state->why_full) == ERR_FULL;
    return ERR_STORE_UNAVAILABLE;
}

enum err local_reserve_events(struct local_state *state, struct partition *partition, size_t n,
                              uint64_t bytes)
{
    enum err error = local_take_event_room(state, bytes + n * GROUP_PUT_OVERHEAD_BYTES);
    if (error != ERR_OK) {
        metrics_count(METRIC_STORE_REFUSED_DISK);
        return error;
    }
    if (group_reserve(&state->group, n, partition->n + n) != ERR_OK ||
        partition_reserve(partition, n) != ERR_OK)
        return ERR_STORE_UNAVAILABLE;
    return ERR_OK;
}

void local_put_event(struct local_state *state, struct partition *partition,
                     struct notification *note)
{
    struct backing *backing = state->backing;
    uint32_t bytes = note->payload->len;
    expire_oldest(state, partition, note->time_ms - LATE_MS, EXPIRE_AN_EVENT);
    while (partition->n > 0 && is_over(state, partition, bytes))
        drop_oldest(state, partition, GAP_OVERFLOW);
    note->seq = partition->head + 1;
    note->acked = partition_left(partition);
    uint64_t key = backing->ops->note_key(backing, note);
    group_put_event(&state->group,
                    (struct group_put){.user_id = store_partition_user(partition->number),
                                       .note = note,
                                       .key = key});
    partition_push(partition, (struct partition_entry){key, note->time_ms, bytes});
    backing->event_bytes += bytes + GROUP_PUT_OVERHEAD_BYTES;
}

/* ---- the request ---- */

static void unref_events(struct notification **notes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        notification_unref(notes[i]);
    free(notes);
}

/* NULL: no memory. */
static struct notification **make_events(const struct local_state *state,
                                         const struct partition *partition,
                                         const struct store_event_append *append, int64_t now_ms,
                                         uint64_t *ret_bytes)
{
    struct notification **notes = malloc(append->n * sizeof(struct notification *));
    *ret_bytes = 0;
    for (size_t i = 0; notes != NULL && i < append->n; i++) {
        notes[i] = local_make_event(state, partition, append->events[i], now_ms);
        *ret_bytes += append->events[i].len;
        if (notes[i] != NULL)
            continue;
        unref_events(notes, i);
        return NULL;
    }
    return notes;
}

static enum err append_events(struct local_state *state, struct partition *partition,
                              struct store_event_append *append, int64_t now_ms)
{
    uint64_t bytes;
    if (local_begin_partition(state, partition) != ERR_OK)
        return ERR_STORE_UNAVAILABLE;
    struct notification **notes = make_events(state, partition, append, now_ms, &bytes);
    if (notes == NULL)
        return ERR_STORE_UNAVAILABLE;
    enum err error = local_reserve_events(state, partition, append->n, bytes);
    if (error != ERR_OK) {
        unref_events(notes, append->n);
        return error;
    }
    append->epoch = partition->epoch;
    append->first_seq = partition->head + 1;
    append->time_ms = now_ms;
    for (size_t i = 0; i < append->n; i++)
        local_put_event(state, partition, notes[i]);
    free(notes);
    return ERR_OK;
}

void local_apply_event_append(struct local_state *state, struct store_event_append *append)
{
    struct partition *partition = &state->index.events->list[append->partition];
    append->error = ERR_STORE_UNAVAILABLE;
    if (!local_can_add(state))
        return;
    if (append->is_bounded && local_is_partition_filling(state, partition))
        append->error = ERR_FULL;
    else
        append->error = append_events(state, partition, append, local_now_ms(state));
}

/* ---- what time ends ---- */

enum { DAY_MS = 24 * 3600 * 1000 };

/* What was seen is kept to the day: a day more makes sure that it is never less than promised. */
static struct consumer *find_forgotten(struct consumers *consumers, int64_t now_ms)
{
    for (uint8_t i = 0; i < consumers_count(consumers); i++) {
        struct consumer *consumer = &consumers->list[i];
        if ((now_ms - consumer->seen_ms) / DAY_MS > STORE_FORGET_DAYS)
            return consumer;
    }
    return NULL;
}

static void sweep_partition(struct local_state *state, struct partition *partition, int64_t now_ms)
{
    if (!partition_is_begun(partition) || local_changes_left(state) == 0 ||
        group_reserve(&state->group, 0, partition->n) != ERR_OK)
        return;
    expire_oldest(state, partition, now_ms, EXPIRE_A_SECOND);
    struct consumer *forgotten;
    while ((forgotten = find_forgotten(partition->consumers, now_ms)) != NULL) {
        consumers_remove(partition->consumers, forgotten);
        local_drop_read(state, partition);
        group_write_partition(&state->group, partition);
    }
}

void local_sweep_events(struct local_state *state, int64_t now_ms)
{
    for (int i = 0; i < STORE_PARTITIONS; i++)
        sweep_partition(state, &state->index.events->list[i], now_ms);
}
