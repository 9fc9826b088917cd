/* A session: the protocol life of one open connection of a subscriber: a WebSocket (RFC 6455) or an
 * event stream (SSE). What it is sent is decided above it (delivery/), which it notifies through
 * session_events.
 *
 * Threads: a session lives on its user's home worker and is touched by that worker's thread only.
 * Memory: it owns its connection and all that hangs on it, and is freed at the end of the turn in
 * which its socket was closed (session_finish) or given away (session_detach).
 *
 * Each file has a header and uses only files that stand before it in this list:
 *   admission          what a session begins with
 *   backlog, reader    what waits in memory for it, and how much of the inbox it was given
 *   session            the struct, its states, names, acknowledgements
 *   session_age        how old it may become
 *   session_deadlines  the timer, and which deadline has come
 *   session_answer     the answer to its request, at once or held back
 *   session_say        the one door for all that is written after it
 *   session_write      notifications, gaps, pings: what goes out and when
 *   session_sse        what event streams do otherwise
 *   session_hold       tokens that wait to be verified
 *   session_unanswered messages that wait for an answer
 *   session_close      every way to end
 *   session_leaving    the close that a drain, or its age, has set
 *   session_auth       the token in a message, and the end of credentials
 *   session_rate       the limits on what comes in
 *   session_message    messages for the backends
 *   session_read       WebSocket frames that come in
 *   session_life       the beginning, the timer, the connection's callbacks
 *   carried_session    what of it travels to another process
 *   session_carry      reads that out
 *   session_revive     makes a session of it */
#ifndef HERALD_SESSION_H
#define HERALD_SESSION_H

#include "gateway/node/client.h"
#include "gateway/node/worker.h"
#include "gateway/session/admission.h"
#include "gateway/session/backlog.h"
#include "gateway/session/reader.h"
#include "proto/note/connection_id.h"
#include "proto/note/event.h"
#include "proto/ws/ws_decoder.h"

/* Allowed successors: see session.c. */
enum session_state {
    SESSION_NEW,     /* it has no client yet */
    SESSION_AUTH,    /* herald.v1: waits for the message that says who it is; has no client */
    SESSION_ENTERED, /* it has a client; how much of the inbox it was given: reader.h */
    SESSION_CLOSING, /* a close frame was sent: it has left its client */
    SESSION_CLOSED,  /* the socket is closed; the memory goes at the end of the turn */
};

struct session_rates;

/* ---- what only some sessions need (struct session_extra) ---- */

/* AUTH: the user and the device that its client claims. */
struct session_auth {
    struct claim *claim;
    uint32_t by_ms; /* on session_clock: when its token must have come */
};

/* herald.v1: an auth message that has to wait (session_hold.c). */
struct session_hold {
    char *token; /* NULL: none waits */
    size_t len;
    uint32_t verified_ms; /* has_verified: when the last one was verified, on session_clock */
    bool has_verified;
    bool waits_second; /* until a second after that; otherwise for its turn */
};

/* The answer to its request, while it is held back (session_answer.c). */
struct session_answer {
    /* SSE: the origin that may read it (empty: none); WebSocket: the accept key. NULL: the answer
     * is on its way. */
    char *text;
    struct deflate_terms deflate; /* WebSocket: what was agreed */
};

/* WebSockets: a message or a frame that has begun, and the second of two pings without a pong. */
struct session_incoming {
    struct ws_decoder decoder; /* while a message is under way (session_read.c) */
    struct buf message;        /* of a message that came in pieces and is not dropped */
    uint32_t begun_ms;         /* is_unfinished: when it began, on session_clock */
    uint32_t ping_before;      /* n_unmatched is 2: as reader.ping_number, of the ping before it */
};

/* SSE (session_sse.c). */
struct session_stream {
    uint64_t mark_seq;       /* what is acknowledged... */
    uint64_t mark_bytes;     /* ...once TCP has acknowledged this many bytes; mark_seq 0: no mark */
    uint64_t progress_bytes; /* that TCP had acknowledged at progress_ms */
    uint32_t progress_ms;    /* these on session_clock */
    uint32_t check_ms;       /* when the mark is looked at next */
    uint32_t check_after_ms;
    bool is_explicit; /* acknowledged by Last-Event-ID and POST /ack alone */
};

struct refusal_subject;

/* At most 200 bytes (session.c). */
struct session_extra {
    struct session_rates *rates; /* with a limit on what comes in: what it has left of that */
    struct backlog *backlog;     /* what waits for the connection to take more; NULL: nothing */
    struct resume resume;        /* until its first page has come */
    struct reader_wait wait;     /* while it waits for a page */
    struct session_answer answer;
    struct session_auth auth;
    struct session_hold hold;
    uint8_t n_unanswered; /* messages for the backends that were taken (session_unanswered.c) */
    bool may_be_blocked;  /* the last of these was taken so (client_message.h) */
    bool is_torn; /* plain: the message under way began where its pieces were not kept, and is
                   * dropped */
    union {
        struct session_incoming incoming; /* WebSockets */
        struct session_stream stream;     /* SSE */
    };
};

enum { SESSION_ID_BITS = CONNECTION_ID_BITS };

/* At most 200 bytes (session.c): each open connection has one, and malloc gives out 16 n + 8. */
struct session {
    struct conn conn;
    struct list link; /* in client->sessions; CLOSING: in worker->closing */
    struct client *client;
    union {
        struct timer timer;            /* owned: when the session began, in seconds since 1970 */
        struct deferred_free deferred; /* once closed */
    };
    struct reader reader;
    struct session_extra *extra;
    /* The address that counts for it (peers.h). NULL: that of its socket. */
    struct peer *peer;
    struct user_agent *agent;
    uint64_t id : SESSION_ID_BITS; /* of the connection */
    uint64_t round_trip_ms : 16;   /* of the last ping; UINT16_MAX: not known yet */
    uint64_t acked;                /* the last number that it has acknowledged */
    uint32_t until_s;              /* since 1970: when its credentials end; 0: never */
    uint32_t heard_ms;             /* these four on session_clock */
    uint32_t next_ping_ms;
    uint32_t ping_sent_ms;
    uint32_t drain_at_ms;
    uint8_t state : 4;       /* enum session_state */
    uint8_t level : 4;       /* enum handshake_level */
    bool has_ping_out : 1;   /* one ping is under way: no pong has come since it was sent */
    uint8_t n_unmatched : 2; /* of the last two pings: those whose number no pong has brought */
    bool wants_ping : 1;     /* numbered notifications were written since the last ping */
    bool is_suspect : 1;     /* silent; one last look before it is closed */
    bool is_draining : 1;    /* drain_at_ms holds: it is closed then (session_leaving.h) */
    bool has_peer_close : 1;
    bool is_given_up : 1;    /* there was no memory for what it needs */
    bool is_unfinished : 1;  /* a message or a frame has begun, and its end has not come */
    bool is_deaf : 1;        /* CLOSING: what comes in is no longer decoded */
    bool is_aging : 1;       /* is_draining: because of its age */
    uint8_t window_bits : 4; /* deflate_fits; 0: no compression was agreed */
    bool is_resting : 1;     /* its bytes are not read (session_unanswered.c) */
};

/* What a session reports to the parts above it; gateway.c plugs them in. All are called on the
 * session's thread, and none may be NULL, but on_identified where no session waits in AUTH. */
struct session_events {
    /* AUTH: its token has said who it is, and all that was queued is written. The socket goes to
     * the user's home worker from here. */
    void (*on_identified)(struct session *session);
    void (*on_acked)(struct session *session);   /* session->acked has moved */
    void (*on_drained)(struct session *session); /* all that was queued is written */
    /* It leaves its client for good. */
    void (*on_leave)(struct session *session, enum offline_cause cause);
};

void session_become(struct session *session, enum session_state state);

/* session->extra, made when it is first asked for. NULL: out of memory. */
struct session_extra *session_extra(struct session *session);
void session_extra_free(struct session *session); /* without one it does nothing */
/* Something that needed session->extra is over: gives it back, if nothing else needs it. */
void session_trim(struct session *session);
/* How long until the next token may be verified (session_hold.h); 0: now. */
int32_t session_verify_wait_ms(const struct session *session);
/* A copy with a NUL, which the span need not have. NULL: out of memory. */
char *session_copy(struct span text);

/* A session for which there was no memory is of no use: its connection ends at the end of the turn.
 * The inbox has all that it has not acknowledged. */
void session_give_up(struct session *session);

/* Acknowledges all up to this number, as a pong, an ack message, POST /ack or a resume does. false:
 * it is beyond what was written. */
MUST_CHECK bool session_ack(struct session *session, uint64_t seq);

/* For session_is_identified: of a session in SESSION_AUTH. */
bool session_claim_is_known(const struct session *session);

/* AUTH: its token has said who it is, and it waits to be handed over (on_identified). Asked several
 * times for each push. */
static inline bool session_is_identified(const struct session *session)
{
    return session->state == SESSION_AUTH && session_claim_is_known(session);
}

/* When it began, in seconds since 1970. */
static inline uint32_t session_since_s(const struct session *session)
{
    return session->timer.owned;
}

/* For until_s, of milliseconds since 1970; 0: never. */
uint32_t session_until_s(int64_t until_ms);

/* How long a client that has to come again should wait: spread, so that all do not come at once. */
uint32_t session_retry_ms(struct session *session);

/* The connection's name, "c-7f3a", with a NUL; answers its length. */
enum { SESSION_NAME_MAX_BYTES = 24 };
size_t session_name(const struct session *session, char out[SESSION_NAME_MAX_BYTES]);
/* For refusals.h: its user and its address. The rest is the caller's. */
void session_who(const struct session *session, struct refusal_subject *ret_who);
/* A line at debug: what happened to this connection of this user. `cause` may be NULL. */
void session_log(const struct session *session, const char *event, const char *cause);

static inline struct worker *session_worker(const struct session *session)
{
    return CONTAINER_OF(session->conn.loop, struct worker, loop);
}

static inline const struct options *session_options(const struct session *session)
{
    return session_worker(session)->node->options;
}

static inline const struct session_events *session_events_of(const struct session *session)
{
    return session_worker(session)->node->session_events;
}

/* It goes on with another process's socket, which that process still has (session_carry.h). */
static inline bool session_is_held(const struct session *session)
{
    return conn_is_held(&session->conn);
}

/* Is one of the user's sessions? */
bool session_any_is_held(const struct client *client);

/* Milliseconds that wrap after 49 days; only differences are looked at. For a session that is held
 * time stands still at 0. */
static inline uint32_t session_clock(const struct session *session)
{
    return session_is_held(session) ? 0 : (uint32_t)worker_now_ms(session_worker(session));
}

static inline bool session_has_come(uint32_t now_ms, uint32_t due_ms)
{
    return (int32_t)(now_ms - due_ms) >= 0;
}

/* The last number that was handed to the connection. */
static inline uint64_t session_sent(const struct session *session)
{
    return session->extra == NULL || session->extra->backlog == NULL
               ? reader_tail(&session->reader)
               : session->extra->backlog->sent;
}

/* What waits until its connection takes more; NULL: nothing. */
static inline struct backlog *session_backlog(const struct session *session)
{
    return session->extra == NULL ? NULL : session->extra->backlog;
}

static inline bool session_is_open(const struct session *session)
{
    return session->state < SESSION_CLOSING;
}

/* Does its level have messages for gaps and withdrawals? */
static inline bool session_has_gaps(const struct session *session)
{
    return session->level == LEVEL_V1 || session->level == LEVEL_SSE;
}

#endif
