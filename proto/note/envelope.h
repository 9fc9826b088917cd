/* The messages of `herald.v1` (CONTRACT 2): one JSON object per text message, in both directions.
 * Those of the server are appended to a buffer as JSON text, without a frame; a failure leaves the
 * buffer as it was. Pure. */
#ifndef HERALD_PROTO_ENVELOPE_H
#define HERALD_PROTO_ENVELOPE_H

#include "proto/bytes/buf.h"
#include "proto/note/gap.h"
#include "proto/note/notification.h"

struct envelope_hello {
    struct span connection; /* "c-7f3a" */
    struct span user_id;
    struct epoch epoch; /* none: written as null */
    uint64_t acked;     /* the session begins after this position */
    uint64_t head;
    bool is_resumed;
    int64_t ping_interval_ms; /* written in seconds, with a fraction if needed */
};

MUST_CHECK enum err envelope_hello(struct buf *out, const struct envelope_hello *hello);
/* "replay" is note->is_replay. Without id, seq and expires if seq is 0. */
MUST_CHECK enum err envelope_notification(struct buf *out, const struct notification *note);
/* If epoch_is_none(epoch), the epoch is written as null. */
MUST_CHECK enum err envelope_gap(struct buf *out, struct epoch epoch, const struct gap *gap);
MUST_CHECK enum err envelope_cancel(struct buf *out, struct epoch epoch, uint64_t seq);
MUST_CHECK enum err envelope_goaway(struct buf *out, uint32_t reconnect_after_ms,
                                    const char *reason);
/* Takes a goaway back. */
MUST_CHECK enum err envelope_stay(struct buf *out);
/* The answer to a client's message that was kept. `raw_id`: the bytes between the quotes in the
 * client's JSON, undecoded. */
MUST_CHECK enum err envelope_accepted(struct buf *out, struct span raw_id);

struct envelope_error {
    const char *code;
    const char *detail;
    const char *field;  /* the member that is to blame; NULL: none */
    struct span raw_id; /* as in envelope_accepted; empty: none */
};
MUST_CHECK enum err envelope_error(struct buf *out, const struct envelope_error *refused);
/* The answer to an auth message. expires_ms: when the credentials end, in ms since 1970. */
MUST_CHECK enum err envelope_auth(struct buf *out, int64_t expires_ms);
MUST_CHECK enum err envelope_pong(struct buf *out);

/* `"epoch":...,"from":...,"to":...,"cause":...`: the members of a gap, which SSE writes as well. */
MUST_CHECK enum err envelope_gap_members(struct buf *out, struct epoch epoch,
                                         const struct gap *gap);

enum envelope_kind {
    ENVELOPE_UNKNOWN,
    ENVELOPE_ACK,
    ENVELOPE_AUTH,
    ENVELOPE_MESSAGE,
    ENVELOPE_PING,
};

/* A message of a client. Unknown types and fields are not errors. */
struct envelope_message {
    enum envelope_kind kind;
    struct epoch epoch; /* ACK */
    uint64_t seq;       /* ACK: from 1 */
    struct span token;  /* AUTH: points into the message, undecoded; not empty */
    /* MESSAGE: the client's own id, undecoded like the token; empty: no string of 1 to 64 bytes. */
    struct span client_id;
    struct span data; /* MESSAGE: valid JSON, points into the message; no bytes: absent */
};

/* ERR_BAD_JSON: not one JSON object, a lone surrogate in a name or in `type`, or a known member
 * (type, id, token, data) is repeated; ERR_INVALID_FIELD: `type` is missing or not a string, the id
 * of an ACK is missing or not EPOCH-SEQ, an AUTH has no token. Then *ret_message is unchanged, and
 * *ret_code ("bad-json", "bad-message", "bad-ack", "bad-auth") and *ret_detail are constants for
 * envelope_error. */
MUST_CHECK enum err envelope_read(struct span text, struct envelope_message *ret_message,
                                  const char **ret_code, const char **ret_detail);

#endif
