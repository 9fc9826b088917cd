#include "proto/note/payload.h"

#include <assert.h>
#include <stdalign.h>
#include <stddef.h>
#include <stdlib.h>

/* Where the room begins, counted from the payload. */
static size_t room_at(size_t data_len, size_t key_len)
{
    size_t len = sizeof(struct payload) + WS_HEADER_MAX_BYTES + data_len + key_len;
    return (len + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
}

static struct payload *make_payload(struct span data, struct span key, bool has_room)
{
    assert(data.len <= UINT32_MAX / 2 && key.len <= COLLAPSE_KEY_MAX_BYTES);
    struct payload *payload =
        malloc(room_at(data.len, key.len) + (has_room ? PAYLOAD_ROOM_BYTES : 0));
    if (payload == NULL)
        return NULL;
    atomic_init(&payload->refs, 1);
    atomic_init(&payload->has_room, has_room);
    payload->len = (uint32_t)data.len;
    payload->header_len = 0;
    payload->key_len = (uint8_t)key.len;
    if (data.len > 0)
        memcpy(payload->bytes + WS_HEADER_MAX_BYTES, data.bytes, data.len);
    if (key.len > 0)
        memcpy(payload->bytes + WS_HEADER_MAX_BYTES + data.len, key.bytes, key.len);
    return payload;
}

struct payload *payload_new_bare(struct span bytes)
{
    return make_payload(bytes, (struct span){0}, false);
}

/* `first` is ORed into the first byte of the frame's header. */
static struct payload *add_frame_header(struct payload *payload, uint8_t first)
{
    if (payload == NULL)
        return NULL;
    uint8_t header[WS_HEADER_MAX_BYTES];
    size_t header_len = ws_header_write(WS_TEXT, payload->len, header);
    header[0] |= first;
    payload->header_len = (uint8_t)header_len;
    memcpy(payload->bytes + WS_HEADER_MAX_BYTES - header_len, header, header_len);
    return payload;
}

struct payload *payload_new_keyed(struct span data, struct span collapse_key)
{
    return add_frame_header(make_payload(data, collapse_key, true), 0);
}

struct payload *payload_new_compressed(struct span bytes)
{
    return add_frame_header(make_payload(bytes, (struct span){0}, false), WS_RSV1);
}

struct payload *payload_new(struct span data)
{
    return add_frame_header(make_payload(data, (struct span){0}, false), 0);
}

void *payload_take_room(struct payload *payload)
{
    if (!atomic_load_explicit(&payload->has_room, memory_order_relaxed) ||
        !atomic_exchange_explicit(&payload->has_room, false, memory_order_relaxed))
        return NULL;
    return (char *)payload + room_at(payload->len, payload->key_len);
}

void payload_free(struct payload *payload)
{
    free(payload);
}
