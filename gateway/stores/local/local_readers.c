/* Those who read a partition: pages, positions, and the list of consumers. Events have no holes, so
 * a page is a run of entries, and what it misses lies before the first one that is kept. A consumer
 * is made by being added alone; whoever else asks reads what is kept, and holds nothing back. */
#include "gateway/stores/local/local_apply.h"
#include "gateway/stores/local/local_events.h"

#include <stdlib.h>

/* ---- consumers ---- */

/* Its last call. The day is kept, if something can be written. */
static void see_consumer(struct local_state *state, struct partition *partition,
                         struct consumer *consumer, int64_t now_ms)
{
    if (!local_can_add(state))
        return;
    if (local_day_of(consumer->seen_ms) != local_day_of(now_ms))
        group_write_partition(&state->group, partition);
    consumer->seen_ms = now_ms;
}

static uint64_t lag_of(const struct partition *partition, uint64_t position)
{
    uint64_t left = partition_left(partition);
    return partition->head - (position > left ? position : left);
}

/* The time of the first event above the position; 0: there is none. */
static int64_t oldest_after(const struct partition *partition, uint64_t position)
{
    uint64_t lag = lag_of(partition, position);
    return lag == 0 ? 0 : partition_at(partition, partition->head - lag + 1)->time_ms;
}

/* ---- pages ---- */

/* A caller that knows a higher number of this epoch has seen a later file. The epoch that begins
 * goes on with the numbers, and keeps the events and the positions. */
static enum err begin_if_lost(struct local_state *state, struct partition *partition,
                              const struct store_page *page)
{
    if (partition->head >= page->known_head ||
        !(epoch_is_none(page->known_epoch) || epoch_equal(page->known_epoch, partition->epoch)))
        return ERR_OK;
    struct epoch epoch;
    if (!local_can_add(state) || epoch_random(&epoch) != ERR_OK)
        return ERR_STORE_UNAVAILABLE;
    partition->epoch = epoch;
    group_write_partition(&state->group, partition);
    state->group.counts.n_resyncs++;
    return ERR_OK;
}

static enum err begin_for_page(struct local_state *state, struct partition *partition,
                               const struct store_page *page)
{
    if (partition_is_begun(partition))
        return begin_if_lost(state, partition, page);
    if (!page->must_begin && epoch_is_none(page->known_epoch))
        return ERR_OK;
    return local_can_add(state) ? local_begin_partition(state, partition) : ERR_STORE_UNAVAILABLE;
}

static void answer_positions(struct store_page *page, const struct partition *partition,
                             const struct consumer *consumer)
{
    page->epoch = partition->epoch;
    page->head = partition->head;
    page->acked = partition->acked;
    page->has_devices = consumers_count(partition->consumers) > 0;
    page->has_device = consumer != NULL;
    page->position = consumer == NULL ? partition->acked : consumer->position;
    page->is_resumed =
        !page->from_acked && page->after <= page->head &&
        (epoch_is_none(page->after_epoch) || epoch_equal(page->after_epoch, page->epoch));
    page->start = page->is_resumed ? page->after : page->position;
    page->last = page->start;
}

/* How many events from this number on the page may show. */
static size_t count_shown(const struct store_page *page, const struct partition *partition,
                          uint64_t from)
{
    size_t n = 0;
    uint64_t bytes = 0;
    for (uint64_t seq = from; seq <= partition->head && n < page->max_count; seq++, n++) {
        bytes += partition_at(partition, seq)->bytes;
        partition_steps++;
        if (n > 0 && bytes > page->max_bytes)
            break;
    }
    return n;
}

static enum err fill_page(struct local_state *state, struct store_page *page,
                          const struct partition *partition)
{
    uint64_t left = partition_left(partition);
    uint64_t from = (page->start > left ? page->start : left) + 1;
    size_t n = count_shown(page, partition, from);
    enum err error = ERR_OK;
    if (n > 0) {
        page->notes = malloc(n * sizeof(struct notification *));
        if (page->notes == NULL)
            return ERR_NO_MEMORY;
    }
    for (; error == ERR_OK && page->n_notes < n; page->n_notes += error == ERR_OK)
        error = state->backing->ops->read_event(state->backing, &state->group, partition,
                                                from + page->n_notes, &page->notes[page->n_notes]);
    page->last = from + n - 1;
    if (error == ERR_OK && page->wants_gaps && from > page->start + 1)
        error = gaps_missing(partition->gaps, partition->acked, page->start, from - 1, NULL, 0,
                             &page->gaps, &page->n_gaps);
    return error;
}

void local_page_partition(struct local_state *state, struct store_page *page,
                          struct partition *partition)
{
    page->blocked_until_ms = 0;
    page->error =
        state->is_readable ? begin_for_page(state, partition, page) : ERR_STORE_UNAVAILABLE;
    struct consumer *consumer = consumers_find(partition->consumers, page->device);
    answer_positions(page, partition, consumer);
    if (page->error != ERR_OK)
        return;
    if (consumer != NULL)
        see_consumer(state, partition, consumer, local_now_ms(state));
    enum err error = fill_page(state, page, partition);
    if (error == ERR_OK)
        return;
    store_page_clear(page);
    page->error = error;
}

/* ---- positions ---- */

static enum err move_position(struct local_state *state, struct partition *partition,
                              struct consumer *consumer, uint64_t seq)
{
    if (seq > consumer->position) {
        if (!state->is_up || group_reserve(&state->group, 0, partition->n) != ERR_OK)
            return ERR_STORE_UNAVAILABLE;
        consumer->position = seq;
        local_drop_read(state, partition);
        group_write_partition(&state->group, partition);
    }
    see_consumer(state, partition, consumer, local_now_ms(state));
    return ERR_OK;
}

void local_ack_partition(struct local_state *state, struct store_ack *ack,
                         struct partition *partition)
{
    struct consumer *consumer = consumers_find(partition->consumers, ack->device);
    if (!partition_is_begun(partition) || !epoch_equal(partition->epoch, ack->epoch) ||
        ack->seq > partition->head)
        ack->error = ERR_STALE_EPOCH;
    else if (ack->device.len == 0)
        ack->error = ERR_OK;
    else if (consumer == NULL)
        ack->error = ERR_NOT_FOUND;
    else
        ack->error = move_position(state, partition, consumer, ack->seq);
}

void local_peek_partition(struct local_state *state, struct store_peek *peek,
                          struct partition *partition)
{
    (void)state;
    peek->epoch = partition->epoch;
    peek->head = partition->head;
    peek->acked = partition->acked;
    peek->pending = partition->n;
    peek->oldest_time_ms = oldest_after(partition, 0);
}

/* ---- the list ---- */

static enum err add_consumer(struct local_state *state, struct partition *partition,
                             struct store_consumers *asked)
{
    int64_t now_ms = local_now_ms(state);
    struct consumer *consumer = consumers_find(partition->consumers, asked->key);
    if (consumer != NULL) {
        see_consumer(state, partition, consumer, now_ms);
        return ERR_OK;
    }
    if (!local_can_add(state) || local_begin_partition(state, partition) != ERR_OK)
        return ERR_STORE_UNAVAILABLE;
    uint64_t position = asked->from_now ? partition->head : partition_left(partition);
    enum err error = consumers_add(&partition->consumers, asked->key, position, now_ms);
    if (error != ERR_OK)
        return error;
    asked->is_changed = true;
    group_write_partition(&state->group, partition);
    return ERR_OK;
}

static enum err remove_consumer(struct local_state *state, struct partition *partition,
                                struct store_consumers *asked)
{
    struct consumer *consumer = consumers_find(partition->consumers, asked->key);
    if (consumer == NULL)
        return ERR_OK;
    if (!state->is_up || group_reserve(&state->group, 0, partition->n) != ERR_OK)
        return ERR_STORE_UNAVAILABLE;
    asked->unread = lag_of(partition, consumer->position);
    asked->is_changed = true;
    consumers_remove(partition->consumers, consumer);
    local_drop_read(state, partition);
    group_write_partition(&state->group, partition);
    return ERR_OK;
}

static void show_partition(struct store_consumers *asked, const struct partition *partition)
{
    const struct consumers *consumers = partition->consumers;
    asked->epoch = partition->epoch;
    asked->head = partition->head;
    asked->count = partition->n;
    asked->bytes = partition->bytes;
    asked->oldest_ms = oldest_after(partition, 0);
    asked->n = consumers_count(consumers);
    for (size_t i = 0; i < asked->n; i++) {
        const struct consumer *consumer = &consumers->list[i];
        asked->list[i] = (struct store_consumer){
            .key_len = consumer->key_len,
            .position = consumer->position,
            .lag = lag_of(partition, consumer->position),
            .oldest_ms = oldest_after(partition, consumer->position),
            .seen_ms = consumer->seen_ms,
        };
        memcpy(asked->list[i].key, consumer->key, consumer->key_len);
    }
}

void local_apply_consumers(struct local_state *state, struct store_consumers *asked)
{
    struct partition *partition = &state->index.events->list[asked->partition];
    asked->error = state->is_readable ? ERR_OK : ERR_STORE_UNAVAILABLE;
    asked->is_changed = false;
    asked->unread = 0;
    asked->n = 0;
    if (!state->is_readable)
        return;
    if (asked->action == CONSUMERS_ADD)
        asked->error = add_consumer(state, partition, asked);
    else if (asked->action == CONSUMERS_REMOVE)
        asked->error = remove_consumer(state, partition, asked);
    show_partition(asked, partition);
}
