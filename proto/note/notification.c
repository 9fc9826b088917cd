#include "proto/note/notification.h"

#include <stdlib.h>

_Static_assert(sizeof(struct notification) <= PAYLOAD_ROOM_BYTES, "it lives in the room");

struct notification *notification_new(struct payload *payload, struct epoch epoch, uint64_t seq,
                                      int64_t time_ms, int64_t expires_ms)
{
    struct notification *note = payload_take_room(payload);
    bool is_in_payload = note != NULL;
    if (note == NULL)
        note = malloc(sizeof *note); /* glibc's calloc has no thread cache */
    if (note == NULL)
        return NULL;
    *note = (struct notification){
        .refs = 1,
        .is_in_payload = is_in_payload,
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
    struct payload *payload = note->payload;
    payload_unref(atomic_load_explicit(&note->v1, memory_order_relaxed));
    payload_unref(atomic_load_explicit(&note->sse, memory_order_relaxed));
    payload_unref(atomic_load_explicit(&note->small_plain, memory_order_relaxed));
    payload_unref(atomic_load_explicit(&note->small_v1, memory_order_relaxed));
    if (!note->is_in_payload)
        free(note);
    payload_unref(payload); /* may free the note as well */
}
