/* The queue of bytes to be written on one connection: references to shared frames, and copies of
 * small pieces. For conn.c; one thread. */
#ifndef HERALD_NET_OUT_QUEUE_H
#define HERALD_NET_OUT_QUEUE_H

#include "proto/bytes/buf.h"
#include "proto/note/payload.h"

#include <sys/uio.h>

enum { OUT_INLINE_BYTES = 24, OUT_USUAL_PIECES = 8, OUT_IOVECS = 128 };

struct out_piece {
    uint32_t len;
    enum { OUT_INLINE, OUT_PAYLOAD, OUT_HEAP } kind;
    union {
        uint8_t inline_bytes[OUT_INLINE_BYTES];
        struct payload *payload;
        uint8_t *heap_bytes;
    };
};

struct out_queue {
    uint32_t first; /* index of the oldest piece */
    uint32_t n;
    uint32_t cap;
    uint32_t offset;  /* how many bytes of the oldest piece are written */
    size_t bytes;     /* in all, not yet written */
    int64_t moved_ms; /* when the kernel last accepted bytes */
    bool wants_shutdown;
    struct out_queue *next_spare;
    struct out_piece *pieces; /* `usual`, or on the heap if there are more */
    struct out_piece usual[OUT_USUAL_PIECES];
};

MUST_CHECK enum err out_queue_new(struct out_queue **ret_queue);
void out_queue_free(struct out_queue *queue);
void out_queue_clear(struct out_queue *queue); /* drops everything and returns to the usual size */

MUST_CHECK enum err out_queue_payload(struct out_queue *queue, struct payload *payload);
/* Copies the bytes. Small ones share a piece, so that a client cannot make Herald use a whole piece
 * (32 bytes) for each answer of two bytes (a pong). */
MUST_CHECK enum err out_queue_bytes(struct out_queue *queue, const void *bytes, size_t len);

/* Takes over bytes from malloc. On an error they are still the caller's. */
MUST_CHECK enum err out_queue_heap(struct out_queue *queue, void *bytes, size_t len);

/* Fills iovecs from the front of the queue; returns how many. */
int out_queue_iovecs(struct out_queue *queue, struct iovec iovecs[OUT_IOVECS]);
void out_queue_written(struct out_queue *queue, size_t len);

/* Appends all that is not yet written. ERR_NO_MEMORY; ERR_FULL: `out` has no room for it. */
MUST_CHECK enum err out_queue_copy(const struct out_queue *queue, struct buf *out);

#endif
