/* What of a session travels to the process that takes over its socket: plain numbers, and bytes
 * that belong to whoever filled the struct in. session_carry reads it out of a session,
 * session_adopt makes a session of it.
 *
 * Moments are differences in milliseconds, because the session stands still on the way: `ago` from
 * when it was read out, `in` until then. What was 3 s ago when it was read out is 3 s ago when the
 * session goes on, however long the way was. Those that hold only under a condition are 0 without
 * it.
 *
 * What does not travel: notifications in memory (the inbox has them), replay under way, and
 * sessions that are ending. So whoever travels has had no close frame from its peer. */
#ifndef HERALD_CARRIED_SESSION_H
#define HERALD_CARRIED_SESSION_H

#include "proto/bytes/cidr.h"
#include "proto/note/message_id.h"
#include "proto/ws/extensions.h"
#include "proto/ws/handshake.h"
#include "proto/ws/ws_decoder.h"

#include <stdbool.h>
#include <stdint.h>

/* An event stream. */
struct carried_stream {
    uint64_t mark_seq; /* these as in struct session_stream; 0: no mark */
    uint64_t mark_bytes;
    uint64_t progress_bytes;
    int32_t progress_ago_ms;
    int32_t check_in_ms; /* with a mark; negative: it is due */
    uint32_t check_after_ms;
    bool is_explicit;
};

struct carried_session {
    /* ---- who it is ---- */
    uint64_t id;         /* of the connection */
    struct span user_id; /* is_stranger: whom it claims to be; may be empty */
    struct span device;  /* empty: none */
    enum handshake_level level;
    uint32_t since_s;   /* since 1970: when it began */
    uint32_t until_s;   /* since 1970: when its credentials end; 0: never */
    bool is_stranger;   /* herald.v1: it waits in AUTH, and has no client */
    bool is_known;      /* is_stranger: its token has said who it is, and what it has queued must be
                         * written before it enters its client */
    int32_t auth_in_ms; /* is_stranger, not is_known: until its token must have come */
    struct span agent;  /* User-Agent; empty: none */
    bool is_proxied;    /* a trusted proxy has named its client's address... */
    struct ip address;  /* ...this; otherwise the socket's counts */

    /* ---- the inbox ---- */
    bool has_begun;      /* its first page has come: sent and acked mean something */
    struct epoch epoch;  /* its user's, as far as is known; none: not known, or there is none */
    uint64_t sent;       /* the last number that was handed to the connection */
    uint64_t acked;      /* the last one that it has acknowledged */
    bool wants_resume;   /* not has_begun: it asked to continue after a position, which is... */
    struct epoch resume; /* ...of this epoch (not none)... */
    uint64_t resume_seq; /* ...and this number */

    /* ---- pings, silence, the drain ---- */
    int32_t heard_ago_ms;
    int32_t next_ping_in_ms;  /* negative: it is due */
    int32_t ping_sent_ago_ms; /* n_unmatched > 0 or has_ping_out */
    uint32_t ping_number;     /* n_unmatched > 0: as in struct reader */
    uint32_t ping_before;     /* n_unmatched is 2: as in struct session_incoming */
    uint8_t n_unmatched;      /* 0 to 2 */
    bool has_ping_out;        /* no pong has come since a ping was sent */
    bool wants_ping;          /* numbered notifications were written since the last ping */
    uint16_t round_trip_ms;   /* of the last ping; UINT16_MAX: not known yet */
    bool is_draining;         /* it is closed with 1012... */
    bool is_aging;            /* ...because of its age... */
    int32_t drain_in_ms;      /* ...then; negative: it is due */

    /* ---- what has come in ---- */
    struct span rest;          /* not taken yet: a piece of a frame, or what follows `token`; at
                                * most CONN_REST_MAX_BYTES */
    bool is_unfinished;        /* a message or a frame has begun... */
    int32_t begun_ago_ms;      /* ...then */
    struct ws_decoder decoder; /* a message is under way if ws_decoder_is_in_message */
    struct span message;       /* the pieces of it that have come, as they were sent; plain: only
                                * where such messages are taken */
    uint8_t window_bits;       /* of the deflate window of what is sent to it, 8 to 15; 0: no
                                * compression was agreed */
    bool has_rates;            /* its token buckets were used: when each is full again */
    int32_t messages_full_in_us;
    int32_t bytes_full_in_us;

    /* ---- herald.v1: an auth message that waits to be verified ---- */
    struct span token;       /* bytes NULL: none waits */
    bool waits_second;       /* until a second after the last one; otherwise for its turn */
    bool has_verified;       /* a token was verified within the last second... */
    int32_t verified_ago_ms; /* ...then */

    /* ---- what goes out ---- */
    struct span unwritten; /* queued, and not taken by the kernel: may begin within a frame. 32 KiB
                            * and a frame of notifications, up to --session-max-bytes of answers */
    int32_t moved_ago_ms;  /* unwritten is not empty: when the kernel last took something */
    bool is_unanswered;    /* the answer to its request is held back. It needs... */
    struct span answer;    /* ...SSE: the origin that may read it, maybe empty; WebSocket: the
                            * accept key, HANDSHAKE_ACCEPT_LEN bytes */
    struct deflate_terms answer_deflate; /* WebSocket: what was agreed */

    struct carried_stream stream; /* SSE */
};

#endif
