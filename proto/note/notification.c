#include "proto/note/notification.h"

#include <stdlib.h>

struct notification *notification_new(struct payload *payload, struct epoch epoch, uint64_t seq,
                                      int64_t time_ms, int64_t expires_ms)
{
    struct notification *note = malloc(sizeof *note); /* glibc's calloc has no thread cache */
    if (note == NULL)
        return NULL;
    *note = (struct notification){
        .refs = 1,
        .epoch = epoch,
        .seq = seq,
        .time_ms = time_ms,
        .expires_ms = expires_ms,
        .payload = payload_ref(payload),
    };
    return note;
}

void notification_free(struct notification *note)
{
    payload_unref(note->payload);
    payload_unref(atomic_load_explicit(&note->v1, memory_order_relaxed));
    payload_unref(atomic_load_explicit(&note->sse, memory_order_relaxed));
    payload_unref(atomic_load_explicit(&note->small_plain, memory_order_relaxed));
    payload_unref(atomic_load_explicit(&note->small_v1, memory_order_relaxed));
    free(note);
}
