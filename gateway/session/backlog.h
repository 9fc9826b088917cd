/* What waits for one session in memory and was not yet handed to its connection: notifications, and
 * gaps between them, in order. While it is here it can still expire or be withdrawn. Bounded in
 * bytes by its owner (session_write.c). One thread. */
#ifndef HERALD_BACKLOG_H
#define HERALD_BACKLOG_H

#include "proto/note/gap.h"
#include "proto/note/notification.h"

/* In addition to enum gap_cause: numbers that were written and that the client must hide. */
enum { BACKLOG_CANCEL = 1 };

/* 16 bytes, because a flush makes one for each notification. */
struct backlog_item {
    union {
        struct notification *note; /* one reference */
        uint64_t from;             /* of a gap, or of what is to be hidden */
    };
    uint64_t gap_cause : 8; /* enum gap_cause, BACKLOG_CANCEL; GAP_NONE: it is a notification */
    uint64_t n_missing : 56;
};

static inline bool backlog_is_cancel(const struct backlog_item *item)
{
    return item->gap_cause == BACKLOG_CANCEL;
}

/* NULL: it is a gap, or a range to be hidden. */
static inline struct notification *backlog_note(const struct backlog_item *item)
{
    return item->gap_cause == GAP_NONE ? item->note : NULL;
}

static inline struct gap backlog_gap(const struct backlog_item *item)
{
    return (struct gap){item->from, item->from + item->n_missing - 1,
                        (enum gap_cause)item->gap_cause};
}

struct backlog {
    uint32_t first;
    uint32_t end;
    uint32_t cap;
    size_t bytes;  /* of the notifications' data, and of the items */
    uint64_t sent; /* the owner's: the last number that was handed to the connection */
    struct backlog_item *items;
};

/* Each makes the backlog when there is none. ERR_NO_MEMORY changes nothing. */
MUST_CHECK enum err backlog_add(struct backlog **backlog, struct notification *note);
MUST_CHECK enum err backlog_add_gap(struct backlog **backlog, const struct gap *gap);

static inline size_t backlog_bytes(const struct backlog *backlog)
{
    return backlog == NULL ? 0 : backlog->bytes;
}

/* The oldest; NULL: nothing waits. */
static inline struct backlog_item *backlog_first(const struct backlog *backlog)
{
    return backlog == NULL ? NULL : &backlog->items[backlog->first];
}

/* Drops the oldest, and with the last one the backlog. */
void backlog_drop_first(struct backlog **backlog);

/* Notifications with a number from..to become gaps of that cause; answers how many. Gaps of one
 * cause that adjoin each other are one, here and in backlog_add_gap: what one key replaces again
 * and again takes no more room. */
size_t backlog_withdraw(struct backlog *backlog, uint64_t from, uint64_t to, enum gap_cause cause);

void backlog_free(struct backlog *backlog); /* NULL is fine */

#endif
