#include "gateway/events/event_page.h"

#include <stdlib.h>

static struct event_item item_of_note(struct notification *note)
{
    return (struct event_item){.seq = note->seq, .time_ms = note->time_ms, .note = note};
}

/* A gap has the time of the event behind it, so that it stands before that one wherever events of
 * several partitions are ordered by their time. */
static struct event_item item_of_gap(const struct gap *gap, int64_t time_ms)
{
    return (struct event_item){
        .is_gap = true, .cause = gap->cause, .from = gap->from, .seq = gap->to, .time_ms = time_ms};
}

/* Takes the page's notifications over. */
static void merge_items(struct event_page *page)
{
    struct store_page *read = &page->page;
    size_t note = 0;
    for (size_t i = 0; i <= read->n_gaps; i++) {
        uint64_t until = i < read->n_gaps ? read->gaps[i].from : UINT64_MAX;
        for (; note < read->n_notes && read->notes[note]->seq < until; note++)
            page->items[page->n++] = item_of_note(read->notes[note]);
        if (i == read->n_gaps || read->gaps[i].cause == GAP_ACKNOWLEDGED)
            continue;
        int64_t time_ms = note < read->n_notes ? read->notes[note]->time_ms : page->asked_ms;
        page->items[page->n++] = item_of_gap(&read->gaps[i], time_ms);
    }
    read->n_notes = 0;
}

static void on_page_read(struct store_request *request)
{
    struct store_page *read = CONTAINER_OF(request, struct store_page, request);
    struct event_page *page = CONTAINER_OF(read, struct event_page, page);
    page->error = read->error == ERR_OK && !read->has_device ? ERR_NOT_FOUND : read->error;
    page->epoch = read->epoch;
    page->head = read->head;
    page->position = read->position;
    page->start = read->start;
    page->last = read->last;
    if (page->error == ERR_OK && read->n_notes + read->n_gaps > 0) {
        page->items = calloc(read->n_notes + read->n_gaps, sizeof *page->items);
        if (page->items == NULL)
            page->error = ERR_NO_MEMORY;
        else
            merge_items(page);
    }
    store_page_clear(read);
    page->on_done(page);
}

void event_page_read(const struct events *events, struct event_page *page)
{
    const struct node *node = events->node;
    struct span user = store_partition_user(page->partition);
    page->n = 0;
    page->items = NULL;
    page->page = (struct store_page){
        .request = {.on_done = on_page_read,
                    .lane = store_partition_lane(page->partition, node->n_workers)},
        .user_id = user,
        .device = page->consumer,
        .wants_gaps = true,
        .from_acked = epoch_is_none(page->after_epoch),
        .after = page->after,
        .after_epoch = page->after_epoch,
        .must_begin = !epoch_is_none(page->after_epoch),
        .known_head = page->after, /* a store that has lost numbers begins a new epoch */
        .known_epoch = page->after_epoch,
        .max_count = page->max_count,
        .max_bytes = page->max_bytes,
        .can_wait = true, /* while another process lets the store go: no reader is refused for it */
    };
    page->asked_ms = store_now_of(node->store, user);
    store_page(node->store, &page->page);
}

void event_page_clear(struct event_page *page)
{
    for (size_t i = 0; i < page->n; i++)
        notification_unref(page->items[i].note);
    free(page->items);
    page->items = NULL;
    page->n = 0;
}

enum err event_item_show(struct buf *out, unsigned partition, struct epoch epoch,
                         const struct event_item *item)
{
    const struct event_place place = {partition, epoch, item->seq, item->time_ms};
    if (item->is_gap)
        return event_show_gap(out, &place, item->from, item->cause);
    return event_show(out, &place, payload_data(item->note->payload));
}
