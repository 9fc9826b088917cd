/* A notification: one user's numbered reference to a payload.
 * Memory: counted; immutable once it is shared, except for its encoded forms, which
 * notification_forms.h makes on demand. Threads: any thread may ref and unref. */
#ifndef HERALD_PROTO_NOTIFICATION_H
#define HERALD_PROTO_NOTIFICATION_H

#include "proto/note/message_id.h"
#include "proto/note/payload.h"

enum { IDEMPOTENCY_KEY_MAX_BYTES = 64 };

struct notification {
    atomic_uint refs;
    bool is_replay;     /* read from the inbox; set before it is shared */
    bool is_in_payload; /* it lives in the room of its payload */
    struct epoch epoch; /* none when seq is 0 */
    uint64_t seq;       /* from 1; 0: ttl 0, never stored, has no number */
    uint64_t replaces;  /* the number that it replaced by its collapse key; 0: none */
    union {
        uint64_t acked;      /* live ones: the user's stored position when it was stored; 0:
                              * unknown */
        uint64_t connection; /* seq is 0: the one connection that it is for; 0: all of the user's.
                              * Set before it is shared */
    };
    int64_t time_ms;                   /* since 1970: when it was accepted */
    int64_t expires_ms;                /* since 1970; 0 when seq is 0 */
    struct payload *payload;           /* one reference */
    _Atomic(struct payload *) v1, sse; /* its other forms, made when first asked for */
    _Atomic(struct payload *) small_plain, small_v1; /* the first two, compressed */
};

/* Adds a reference to the payload, in whose room it lives if that is free. NULL: out of memory. */
struct notification *notification_new(struct payload *payload, struct epoch epoch, uint64_t seq,
                                      int64_t time_ms, int64_t expires_ms);
void notification_free(struct notification *note); /* for notification_unref */

/* One with ttl 0, for that connection alone; 0: for all of the user's. NULL: out of memory. */
static inline struct notification *notification_new_live(struct payload *payload, int64_t time_ms,
                                                         uint64_t connection)
{
    struct notification *note = notification_new(payload, (struct epoch){{0}}, 0, time_ms, 0);
    if (note != NULL)
        note->connection = connection;
    return note;
}

static inline struct notification *notification_ref(struct notification *note)
{
    atomic_fetch_add_explicit(&note->refs, 1, memory_order_relaxed);
    return note;
}

/* NULL is fine. */
static inline void notification_unref(struct notification *note)
{
    if (note != NULL && atomic_fetch_sub_explicit(&note->refs, 1, memory_order_acq_rel) == 1)
        notification_free(note);
}

#endif
