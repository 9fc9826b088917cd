/* Notifications, their payloads and their names.
 *
 * A payload is the pushed `data`, byte for byte, with the WebSocket frame header already in front
 * of it: encoded once, shared by every session of every user it goes to. A notification is one
 * user's numbered reference to a payload. Both are immutable and counted; any thread may ref and
 * unref. */
#ifndef HERALD_PROTO_NOTIFICATION_H
#define HERALD_PROTO_NOTIFICATION_H

#include "proto/error.h"
#include "proto/span.h"
#include "proto/ws_frame.h"

#include <stdatomic.h>
#include <stdint.h>

/* An epoch names one unbroken run of a user's numbers: 8 characters of a-z and 0-9. */
enum { EPOCH_LEN = 8 };

struct epoch {
    char text[EPOCH_LEN]; /* all NUL: none is known */
};

bool epoch_is_none(struct epoch epoch);
bool epoch_equal(struct epoch a, struct epoch b);
MUST_CHECK enum err epoch_random(struct epoch *ret_epoch); /* ERR_SYSTEM: no randomness */

/* A message id is EPOCH-SEQ: "k3f9a2qd-118". */
enum { MESSAGE_ID_MAX_BYTES = EPOCH_LEN + 1 + 20 + 1 };

/* Writes it with a NUL; answers its length. */
size_t message_id_write(struct epoch epoch, uint64_t seq, char out[MESSAGE_ID_MAX_BYTES]);

/* ERR_INVALID_FIELD: not of that form (no leading zeros, no sign, seq from 1). */
MUST_CHECK enum err message_id_parse(struct span id, struct epoch *ret_epoch, uint64_t *ret_seq);

struct payload {
    atomic_uint refs;
    uint32_t len;       /* of the data */
    uint8_t header_len; /* of the frame header, which ends where the data begins */
    uint8_t bytes[];    /* WS_HEADER_MAX_BYTES of room, then the data */
};

/* A copy of the bytes, with one reference. NULL: out of memory. len at most UINT32_MAX / 2. */
struct payload *payload_new(struct span data);
struct payload *payload_ref(struct payload *payload);
void payload_unref(struct payload *payload); /* NULL is fine */

static inline struct span payload_data(const struct payload *payload)
{
    return (struct span){(const char *)payload->bytes + WS_HEADER_MAX_BYTES, payload->len};
}

/* The whole text frame (RFC 6455, 5.6), ready to be written. */
static inline struct span payload_frame(const struct payload *payload)
{
    return (struct span){(const char *)payload->bytes + WS_HEADER_MAX_BYTES - payload->header_len,
                         (size_t)payload->header_len + payload->len};
}

struct notification {
    atomic_uint refs;
    struct epoch epoch;      /* none when seq is 0 */
    uint64_t seq;            /* from 1; 0: ttl 0, never stored, has no number */
    int64_t time_ms;         /* since 1970: when it was accepted */
    int64_t expires_ms;      /* since 1970; 0 when seq is 0 */
    struct payload *payload; /* one reference */
};

/* Takes a reference of its own to the payload. NULL: out of memory. */
struct notification *notification_new(struct payload *payload, struct epoch epoch, uint64_t seq,
                                      int64_t time_ms, int64_t expires_ms);
struct notification *notification_ref(struct notification *note);
void notification_unref(struct notification *note); /* NULL is fine */

#endif
