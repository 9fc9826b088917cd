/* Notifications, their payloads and their names.
 *
 * A payload is the pushed `data`, byte for byte, with the WebSocket frame header already in front
 * of it: encoded once, shared by every session of every user it goes to. A notification is one
 * user's numbered reference to a payload. Both are immutable and counted; any thread may ref and
 * unref. */
#ifndef HERALD_PROTO_NOTIFICATION_H
#define HERALD_PROTO_NOTIFICATION_H

#include "proto/bytes/span.h"
#include "proto/error.h"
#include "proto/ws/ws_frame.h"

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

/* As a position to resume behind: seq 0, the beginning, is one as well. */
MUST_CHECK enum err message_position_parse(struct span id, struct epoch *ret_epoch,
                                           uint64_t *ret_seq);

enum { COLLAPSE_KEY_MAX_BYTES = 64, IDEMPOTENCY_KEY_MAX_BYTES = 64 };

struct payload {
    atomic_uint refs;
    uint32_t len;       /* of the data */
    uint8_t header_len; /* of the frame header, which ends where the data begins */
    uint8_t key_len;    /* of the collapse key; 0: none */
    uint8_t bytes[];    /* WS_HEADER_MAX_BYTES of room, the data, the collapse key */
};

/* A copy of the bytes, with one reference. NULL: out of memory. len at most UINT32_MAX / 2, key at
 * most COLLAPSE_KEY_MAX_BYTES. */
struct payload *payload_new(struct span data);
struct payload *payload_new_keyed(struct span data, struct span collapse_key);
/* Bytes that are written as they stand, without a frame header. */
struct payload *payload_new_bare(struct span bytes);
/* What deflater_message made: the frame says that it is compressed. */
struct payload *payload_new_compressed(struct span bytes);
struct payload *payload_ref(struct payload *payload);
void payload_unref(struct payload *payload); /* NULL is fine */

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

struct deflater;

/* How a notification is written to a session. */
enum notification_form { FORM_PLAIN, FORM_V1, FORM_SSE };

struct notification {
    atomic_uint refs;
    bool is_replay;          /* read from the inbox; set by whoever made it, before it is shared */
    struct epoch epoch;      /* none when seq is 0 */
    uint64_t seq;            /* from 1; 0: ttl 0, never stored, has no number */
    uint64_t replaces;       /* the number that this one's collapse key has replaced; 0: none */
    uint64_t acked;          /* live ones: the user's stored position at that moment; 0: not told */
    int64_t time_ms;         /* since 1970: when it was accepted */
    int64_t expires_ms;      /* since 1970; 0 when seq is 0 */
    struct payload *payload; /* one reference */
    _Atomic(struct payload *) v1, sse; /* its other forms, made when first asked for */
    _Atomic(struct payload *) small_plain, small_v1; /* the first two, compressed */
};

/* Takes a reference of its own to the payload. NULL: out of memory. */
struct notification *notification_new(struct payload *payload, struct epoch epoch, uint64_t seq,
                                      int64_t time_ms, int64_t expires_ms);
struct notification *notification_ref(struct notification *note);
void notification_unref(struct notification *note); /* NULL is fine */

/* Its bytes in that form, encoded once and shared by all sessions; lives as long as the note. Any
 * thread. NULL: out of memory. */
struct payload *notification_form(struct notification *note, enum notification_form form);

/* The same as one compressed frame (RFC 7692, 6.1), made once and shared like the form itself; the
 * form itself where compressing would not make it smaller. Not for FORM_SSE. `deflater` is the
 * calling thread's. NULL: out of memory. */
struct payload *notification_compressed(struct notification *note, enum notification_form form,
                                        struct deflater *deflater);

#endif
