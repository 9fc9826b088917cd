#include "proto/note/payload.h"

#include <assert.h>
#include <stdlib.h>

static struct payload *make_payload(struct span data, struct span key)
{
    assert(data.len <= UINT32_MAX / 2 && key.len <= COLLAPSE_KEY_MAX_BYTES);
    struct payload *payload = malloc(sizeof *payload + WS_HEADER_MAX_BYTES + data.len + key.len);
    if (payload == NULL)
        return NULL;
    atomic_init(&payload->refs, 1);
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
    return make_payload(bytes, (struct span){0});
}

/* `first` is ORed into the first byte of the frame's header. */
static struct payload *make_frame(struct span data, struct span key, uint8_t first)
{
    struct payload *payload = make_payload(data, key);
    if (payload == NULL)
        return NULL;
    uint8_t header[WS_HEADER_MAX_BYTES];
    size_t header_len = ws_header_write(WS_TEXT, data.len, header);
    header[0] |= first;
    payload->header_len = (uint8_t)header_len;
    memcpy(payload->bytes + WS_HEADER_MAX_BYTES - header_len, header, header_len);
    return payload;
}

struct payload *payload_new_keyed(struct span data, struct span collapse_key)
{
    return make_frame(data, collapse_key, 0);
}

struct payload *payload_new_compressed(struct span bytes)
{
    return make_frame(bytes, (struct span){0}, WS_RSV1);
}

struct payload *payload_new(struct span data)
{
    return payload_new_keyed(data, (struct span){0});
}

void payload_free(struct payload *payload)
{
    free(payload);
}
