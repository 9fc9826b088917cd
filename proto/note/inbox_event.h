/* An event in a user's inbox: a notification is stored, or numbers are withdrawn before a client
 * has acknowledged them. Events come in the order of their numbers.
 *
 * An event is passed by value and holds no reference. To keep one, call inbox_event_ref, and later
 * inbox_event_unref. What it points to is immutable and reference-counted; any thread may ref and
 * unref. */
#ifndef HERALD_PROTO_INBOX_EVENT_H
#define HERALD_PROTO_INBOX_EVENT_H

#include "proto/note/gap.h"
#include "proto/note/notification.h"

/* Numbers that have left the inbox because a backend cancelled them, or because a later
 * notification with the same collapse key has replaced them. */
struct withdrawal {
    atomic_uint refs;
    enum gap_cause cause; /* GAP_CANCELLED or GAP_COLLAPSED */
    struct epoch epoch;
    uint64_t from, to; /* inclusive; 1 <= from <= to */
};

/* Returns it with one reference. NULL: out of memory. */
struct withdrawal *withdrawal_new(struct epoch epoch, uint64_t from, uint64_t to,
                                  enum gap_cause cause);
struct withdrawal *withdrawal_ref(struct withdrawal *withdrawal);
void withdrawal_unref(struct withdrawal *withdrawal); /* NULL is fine */

static inline bool withdrawal_has(const struct withdrawal *withdrawal, uint64_t seq)
{
    return withdrawal->from <= seq && seq <= withdrawal->to;
}

enum inbox_event_kind { INBOX_NOTIFICATION, INBOX_WITHDRAWAL };

struct inbox_event {
    enum inbox_event_kind kind;
    union {
        struct notification *note;     /* INBOX_NOTIFICATION; seq 0: live only, never stored */
        struct withdrawal *withdrawal; /* INBOX_WITHDRAWAL */
    };
};

static inline struct inbox_event inbox_event_of_note(struct notification *note)
{
    return (struct inbox_event){.kind = INBOX_NOTIFICATION, .note = note};
}

static inline struct inbox_event inbox_event_of_withdrawal(struct withdrawal *withdrawal)
{
    return (struct inbox_event){.kind = INBOX_WITHDRAWAL, .withdrawal = withdrawal};
}

/* The epoch of its numbers; none if its notification has no number. */
static inline struct epoch inbox_event_epoch(struct inbox_event event)
{
    return event.kind == INBOX_NOTIFICATION ? event.note->epoch : event.withdrawal->epoch;
}

/* The highest number of the event; 0: it has none. */
static inline uint64_t inbox_event_seq(struct inbox_event event)
{
    return event.kind == INBOX_NOTIFICATION ? event.note->seq : event.withdrawal->to;
}

static inline struct inbox_event inbox_event_ref(struct inbox_event event)
{
    if (event.kind == INBOX_NOTIFICATION)
        notification_ref(event.note);
    else
        withdrawal_ref(event.withdrawal);
    return event;
}

static inline void inbox_event_unref(struct inbox_event event)
{
    if (event.kind == INBOX_NOTIFICATION)
        notification_unref(event.note);
    else
        withdrawal_unref(event.withdrawal);
}

#endif
