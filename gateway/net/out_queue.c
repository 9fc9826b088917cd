#include "gateway/net/out_queue.h"

#include <stdlib.h>

enum err out_queue_new(struct out_queue **ret_queue)
{
    struct out_queue *queue = calloc(1, sizeof *queue);
    if (queue == NULL)
        return ERR_NO_MEMORY;
    queue->pieces = queue->usual;
    queue->cap = OUT_USUAL_PIECES;
    *ret_queue = queue;
    return ERR_OK;
}

static void release_piece(struct out_piece *piece)
{
    if (piece->kind == OUT_PAYLOAD)
        payload_unref(piece->payload);
    else if (piece->kind == OUT_HEAP)
        free(piece->heap_bytes);
}

void out_queue_clear(struct out_queue *queue)
{
    for (uint32_t i = 0; i < queue->n; i++)
        release_piece(&queue->pieces[queue->first + i]);
    if (queue->pieces != queue->usual)
        free(queue->pieces);
    queue->pieces = queue->usual;
    queue->cap = OUT_USUAL_PIECES;
    queue->first = 0;
    queue->n = 0;
    queue->offset = 0;
    queue->bytes = 0;
    queue->moved_ms = 0;
    queue->wants_shutdown = false;
}

void out_queue_free(struct out_queue *queue)
{
    if (queue == NULL)
        return;
    out_queue_clear(queue);
    free(queue);
}

/* The next free piece. If there is none at the end, the used ones are moved to the front or into a
 * larger array. */
static struct out_piece *next_piece(struct out_queue *queue)
{
    if (queue->first + queue->n < queue->cap)
        return &queue->pieces[queue->first + queue->n];
    if (queue->first > queue->cap / 2) {
        memmove(queue->pieces, queue->pieces + queue->first, queue->n * sizeof *queue->pieces);
        queue->first = 0;
        return &queue->pieces[queue->n];
    }
    uint32_t cap = queue->cap * 2;
    struct out_piece *pieces = malloc(cap * sizeof *pieces);
    if (pieces == NULL)
        return NULL;
    memcpy(pieces, queue->pieces + queue->first, queue->n * sizeof *pieces);
    if (queue->pieces != queue->usual)
        free(queue->pieces);
    queue->pieces = pieces;
    queue->cap = cap;
    queue->first = 0;
    return &queue->pieces[queue->n];
}

enum err out_queue_payload(struct out_queue *queue, struct payload *payload)
{
    struct out_piece *piece = next_piece(queue);
    if (piece == NULL)
        return ERR_NO_MEMORY;
    piece->kind = OUT_PAYLOAD;
    piece->payload = payload_ref(payload);
    piece->len = (uint32_t)payload_frame(payload).len;
    queue->n++;
    queue->bytes += piece->len;
    return ERR_OK;
}

/* The newest piece, if `len` more bytes fit into it; otherwise NULL. */
static struct out_piece *piece_with_room(struct out_queue *queue, size_t len)
{
    if (queue->n == 0)
        return NULL;
    struct out_piece *last = &queue->pieces[queue->first + queue->n - 1];
    return last->kind == OUT_INLINE && len <= OUT_INLINE_BYTES - last->len ? last : NULL;
}

enum err out_queue_bytes(struct out_queue *queue, const void *bytes, size_t len)
{
    struct out_piece *last = piece_with_room(queue, len);
    if (last != NULL) {
        memcpy(last->inline_bytes + last->len, bytes, len);
        last->len += (uint32_t)len;
        queue->bytes += len;
        return ERR_OK;
    }
    struct out_piece *piece = next_piece(queue);
    if (piece == NULL)
        return ERR_NO_MEMORY;
    uint8_t *to = piece->inline_bytes;
    piece->kind = OUT_INLINE;
    if (len > OUT_INLINE_BYTES) {
        to = malloc(len);
        if (to == NULL)
            return ERR_NO_MEMORY;
        piece->kind = OUT_HEAP;
        piece->heap_bytes = to;
    }
    memcpy(to, bytes, len);
    piece->len = (uint32_t)len;
    queue->n++;
    queue->bytes += len;
    return ERR_OK;
}

enum err out_queue_heap(struct out_queue *queue, void *bytes, size_t len)
{
    struct out_piece *piece = next_piece(queue);
    if (piece == NULL)
        return ERR_NO_MEMORY;
    piece->kind = OUT_HEAP;
    piece->heap_bytes = bytes;
    piece->len = (uint32_t)len;
    queue->n++;
    queue->bytes += len;
    return ERR_OK;
}

static const uint8_t *piece_bytes(const struct out_piece *piece)
{
    switch (piece->kind) {
    case OUT_INLINE:
        return piece->inline_bytes;
    case OUT_HEAP:
        return piece->heap_bytes;
    case OUT_PAYLOAD:
        break;
    }
    return (const uint8_t *)payload_frame(piece->payload).bytes;
}

int out_queue_iovecs(struct out_queue *queue, struct iovec iovecs[OUT_IOVECS])
{
    int n = 0;
    uint32_t offset = queue->offset;
    for (uint32_t i = 0; i < queue->n && n < OUT_IOVECS; i++) {
        const struct out_piece *piece = &queue->pieces[queue->first + i];
        /* writev does not modify the bytes, but iovec has no const form. */
        iovecs[n].iov_base = (void *)(uintptr_t)(piece_bytes(piece) + offset);
        iovecs[n].iov_len = piece->len - offset;
        offset = 0;
        n++;
    }
    return n;
}

void out_queue_written(struct out_queue *queue, size_t len)
{
    queue->bytes -= len;
    while (len > 0) {
        struct out_piece *piece = &queue->pieces[queue->first];
        size_t left = piece->len - queue->offset;
        if (len < left) {
            queue->offset += (uint32_t)len;
            return;
        }
        len -= left;
        release_piece(piece);
        queue->offset = 0;
        queue->first++;
        queue->n--;
    }
    if (queue->n == 0)
        queue->first = 0;
}

enum err out_queue_copy(const struct out_queue *queue, struct buf *out)
{
    enum err error = buf_reserve(out, queue->bytes);
    uint32_t offset = queue->offset;
    for (uint32_t i = 0; error == ERR_OK && i < queue->n; i++) {
        const struct out_piece *piece = &queue->pieces[queue->first + i];
        error = buf_append(out, piece_bytes(piece) + offset, piece->len - offset);
        offset = 0;
    }
    return error;
}
