#include "gateway/backlog.h"

#include <stdlib.h>

enum { FIRST_ITEMS = 16 };

static enum err make_room(struct backlog **backlog)
{
    if (*backlog == NULL) {
        *backlog = calloc(1, sizeof **backlog);
        if (*backlog == NULL)
            return ERR_NO_MEMORY;
    }
    struct backlog *list = *backlog;
    if (list->end < list->cap)
        return ERR_OK;
    if (list->first > list->cap / 2) {
        memmove(list->items, list->items + list->first,
                (list->end - list->first) * sizeof *list->items);
        list->end -= list->first;
        list->first = 0;
        return ERR_OK;
    }
    uint32_t cap = list->cap == 0 ? FIRST_ITEMS : 2 * list->cap;
    struct backlog_item *more = realloc(list->items, cap * sizeof *more);
    if (more == NULL) {
        if (list->cap == 0) {
            free(list);
            *backlog = NULL;
        }
        return ERR_NO_MEMORY;
    }
    list->items = more;
    list->cap = cap;
    return ERR_OK;
}

enum err backlog_add(struct backlog **backlog, struct notification *note)
{
    enum err error = make_room(backlog);
    if (error != ERR_OK)
        return error;
    struct backlog *list = *backlog;
    list->items[list->end++] = (struct backlog_item){.note = notification_ref(note)};
    list->bytes += note->payload->len;
    return ERR_OK;
}

enum err backlog_add_gap(struct backlog **backlog, const struct gap *gap)
{
    enum err error = make_room(backlog);
    if (error != ERR_OK)
        return error;
    struct backlog *list = *backlog;
    list->items[list->end++] = (struct backlog_item){.gap = *gap};
    return ERR_OK;
}

static void drop_note(struct backlog *backlog, struct backlog_item *item)
{
    if (item->note == NULL)
        return;
    backlog->bytes -= item->note->payload->len;
    notification_unref(item->note);
    item->note = NULL;
}

void backlog_drop_first(struct backlog **backlog)
{
    struct backlog *list = *backlog;
    drop_note(list, &list->items[list->first++]);
    if (list->first < list->end)
        return;
    backlog_free(list);
    *backlog = NULL;
}

size_t backlog_withdraw(struct backlog *backlog, uint64_t from, uint64_t to, enum gap_cause cause)
{
    size_t n = 0;
    if (backlog == NULL)
        return 0;
    for (uint32_t i = backlog->first; i < backlog->end; i++) {
        struct backlog_item *item = &backlog->items[i];
        if (item->note == NULL || item->note->seq < from || item->note->seq > to)
            continue;
        uint64_t seq = item->note->seq;
        drop_note(backlog, item);
        item->gap = (struct gap){seq, seq, cause};
        n++;
    }
    return n;
}

void backlog_free(struct backlog *backlog)
{
    if (backlog == NULL)
        return;
    while (backlog->first < backlog->end)
        drop_note(backlog, &backlog->items[backlog->first++]);
    free(backlog->items);
    free(backlog);
}
