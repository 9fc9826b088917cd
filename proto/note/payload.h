/* A payload: the pushed `data`, byte for byte, with the WebSocket frame header already before it.
 * It is encoded once and shared by every session of every user it goes to.
 * Memory: immutable and reference-counted. Threads: any thread may ref and unref. */
#ifndef HERALD_PROTO_PAYLOAD_H
#define HERALD_PROTO_PAYLOAD_H

#include "proto/ws/ws_frame.h"

#include <stdatomic.h>
#include <stdint.h>

enum { COLLAPSE_KEY_MAX_BYTES = 64 };

struct payload {
    atomic_uint refs;
    uint32_t len;         /* of the data */
    uint8_t header_len;   /* of the frame header, which ends where the data begins */
    uint8_t key_len;      /* of the collapse key; 0: none */
    atomic_bool has_room; /* for a notification, which nothing has taken yet */
    uint8_t bytes[]; /* WS_HEADER_MAX_BYTES for the header, the data, the collapse key, the room */
};

/* Of the room, where one notification of the payload lives without memory of its own. It ends with
 * the payload, which the notification refers to. */
enum { PAYLOAD_ROOM_BYTES = 96 };

/* Copies the bytes; returns the payload with one reference. NULL: out of memory. len at most
 * UINT32_MAX / 2, key at most COLLAPSE_KEY_MAX_BYTES. */
struct payload *payload_new(struct span data);
/* Of a push: with room for its first notification. */
struct payload *payload_new_keyed(struct span data, struct span collapse_key);
/* Bytes that are written unchanged, without a frame header. */
struct payload *payload_new_bare(struct span bytes);
/* Bytes that deflater_message made; the frame header marks them as compressed. */
struct payload *payload_new_compressed(struct span bytes);

/* Frees one whose last reference is gone: for payload_unref, which is inline because each push
 * counts several times. */
void payload_free(struct payload *payload);

static inline struct payload *payload_ref(struct payload *payload)
{
    atomic_fetch_add_explicit(&payload->refs, 1, memory_order_relaxed);
    return payload;
}

/* NULL is fine. */
static inline void payload_unref(struct payload *payload)
{
    if (payload != NULL && atomic_fetch_sub_explicit(&payload->refs, 1, memory_order_acq_rel) == 1)
        payload_free(payload);
}

/* Takes the room; aligned for any object. Any thread: one gets it. NULL: there is none left. */
void *payload_take_room(struct payload *payload);

static inline struct span payload_data(const struct payload *payload)
{
    return (struct span){(const char *)payload->bytes + WS_HEADER_MAX_BYTES, payload->len};
}

static inline struct span payload_key(const struct payload *payload)
{
    return (struct span){(const char *)payload->bytes + WS_HEADER_MAX_BYTES + payload->len,
                         payload->key_len};
}

/* The whole text frame (RFC 6455, 5.6), ready to be written. */
static inline struct span payload_frame(const struct payload *payload)
{
    return (struct span){(const char *)payload->bytes + WS_HEADER_MAX_BYTES - payload->header_len,
                         (size_t)payload->header_len + payload->len};
}

#endif
