#include "gateway/session/backlog.h"

#include <stdlib.h>

enum { FIRST_ITEMS = 16 };

static enum err grow_backlog(struct backlog **backlog)
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
    enum err error = grow_backlog(backlog);
    if (error != ERR_OK)
        return error;
    struct backlog *list = *backlog;
    list->items[list->end++] = (struct backlog_item){.note = notification_ref(note)};
    list->bytes += note->payload->len + sizeof(struct backlog_item);
    return ERR_OK;
}

static struct backlog_item gap_item(const struct gap *gap)
{
    return (struct backlog_item){.from = gap->from,
                                 .gap_cause = (uint64_t)gap->cause & 0xff,
                                 .n_missing = (gap->to - gap->from + 1) & (UINT64_MAX >> 8)};
}

/* If it continues the gap before it, that one becomes longer, and it needs no item of its own. */
static bool lengthen_gap_before(struct backlog *backlog, uint32_t end, const struct gap *gap)
{
    if (backlog == NULL || end == backlog->first)
        return false;
    struct backlog_item *last = &backlog->items[end - 1];
    struct gap before = backlog_gap(last);
    if (backlog_note(last) != NULL || before.cause != gap->cause || before.to + 1 != gap->from)
        return false;
    before.to = gap->to;
    *last = gap_item(&before);
    return true;
}

enum err backlog_add_gap(struct backlog **backlog, const struct gap *gap)
{
    if (lengthen_gap_before(*backlog, *backlog == NULL ? 0 : (*backlog)->end, gap))
        return ERR_OK;
    enum err error = grow_backlog(backlog);
    if (error != ERR_OK)
        return error;
    struct backlog *list = *backlog;
    list->items[list->end++] = gap_item(gap);
    list->bytes += sizeof(struct backlog_item);
    return ERR_OK;
}

static void drop_note(struct backlog *backlog, struct backlog_item *item)
{
    struct notification *note = backlog_note(item);
    if (note == NULL)
        return;
    backlog->bytes -= note->payload->len;
    notification_unref(note);
}

void backlog_drop_first(struct backlog **backlog)
{
    struct backlog *list = *backlog;
    drop_note(list, &list->items[list->first++]);
    list->bytes -= sizeof(struct backlog_item);
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
    uint32_t kept = backlog->first;
    for (uint32_t i = backlog->first; i < backlog->end; i++) {
        struct backlog_item item = backlog->items[i];
        const struct notification *note = backlog_note(&item);
        if (note != NULL && note->seq >= from && note->seq <= to) {
            struct gap left = {note->seq, note->seq, cause};
            drop_note(backlog, &item);
            item = gap_item(&left);
            n++;
        }
        struct gap gap = backlog_gap(&item);
        if (backlog_note(&item) == NULL && lengthen_gap_before(backlog, kept, &gap))
            backlog->bytes -= sizeof(struct backlog_item);
        else
            backlog->items[kept++] = item;
    }
    backlog->end = kept;
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
