/* A session: the protocol life of one open connection of a subscriber: a WebSocket (RFC 6455) or an
 * event stream (SSE). What it is sent is decided above (delivery.c, replay.c), which it calls
 * through session_events. A session lives on its user's home worker and is touched by that thread
 * only.
 *
 * Files: session.c its life, session_answer.c the answer to its request, session_read.c what comes
 * in, session_write.c what goes out, session_say.c the one door for all of it, session_sse.c what
 * event streams do otherwise, session_auth.c the token in a message and the end of credentials,
 * session_hold.c tokens that wait, session_rate.c the limits on what comes in. */
#ifndef HERALD_SESSION_H
#define HERALD_SESSION_H

#include "gateway/identity/peers.h"
#include "gateway/node/client.h"
#include "gateway/node/worker.h"
#include "gateway/session/backlog.h"
#include "gateway/session/reader.h"
#include "proto/ws/extensions.h"
#include "proto/ws/handshake.h"
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

/* A position that the subscriber named to resume behind. */
struct resume {
    struct epoch epoch; /* none: it named none */
    uint64_t seq;
};

/* Who a session says it is, before that is known. */
struct session_wish {
    char user_id[USER_ID_MAX_BYTES];
    size_t user_id_len; /* 0: it names nobody */
    char device[DEVICE_MAX_BYTES];
    size_t device_len;
    bool is_known; /* the token has said it: the session moves to its home worker */
};

/* An auth message that has to wait (session_hold.c). */
struct session_hold {
    char *token; /* NULL: none waits */
    size_t len;
    uint32_t verified_ms; /* has_verified: when the last one was verified, on session_clock */
    bool has_verified;
    bool waits_second; /* for the second behind that; otherwise for its turn */
};

struct refused_who;

/* What only some sessions need. */
struct session_extra {
    /* With a limit on what comes in: what it has left of that. */
    struct session_rates *rates;
    struct resume resume;      /* until its first page has come */
    struct session_wish *wish; /* AUTH */
    struct session_hold hold;  /* herald.v1 */
    uint32_t auth_by_ms;       /* AUTH: on session_clock */
    struct backlog *backlog;   /* what waits for the connection to take more; NULL: nothing */
    struct buf message;        /* herald.v1: of a message that came in pieces */
    uint64_t mark_seq;         /* SSE: what is acknowledged... */
    uint64_t mark_bytes;       /* ...once TCP has acknowledged so many bytes; 0: no mark */
    uint64_t progress_bytes;   /* SSE: that TCP had acknowledged at progress_ms */
    uint32_t progress_ms;      /* these on session_clock */
    uint32_t check_ms;         /* SSE: when the mark is looked at next */
    uint32_t check_after_ms;
    char *held; /* the answer to the request is held back; what it needs: SSE: the origin that may
                 * read it (empty: none), WebSocket: the accept key. NULL: it is on its way */
    struct deflate_terms held_terms; /* WebSocket: what was agreed, while it is held */
    bool is_explicit;                /* SSE: acknowledged by Last-Event-ID and POST /ack alone */
};

/* At most 280 bytes (session.c): each open connection has one, and malloc gives out 16 n + 8. */
struct session {
    struct conn conn;
    struct list link; /* in client->sessions; CLOSING: in worker->closing */
    struct client *client;
    union {
        struct timer timer;
        struct grave grave; /* once closed */
    };
    struct ws_decoder decoder;
    struct reader reader;
    struct session_extra *extra;
    /* Where it comes from; NULL: the socket knows. */
    struct peer *peer;
    struct user_agent *agent;
    uint64_t id;       /* of the connection */
    uint64_t sent;     /* the last number that was handed to the connection */
    uint64_t acked;    /* the last number that it has acknowledged */
    int64_t since_ms;  /* since 1970 */
    uint32_t heard_ms; /* these five on session_clock */
    uint32_t begun_ms; /* is_unfinished: when what has not ended began */
    uint32_t next_ping_ms;
    uint32_t ping_sent_ms;
    uint32_t drain_at_ms;
    uint32_t ping_number;   /* the low bits of what the last ping carries */
    uint32_t ping_before;   /* and of the one before it, while n_unmatched is 2 */
    uint32_t until_s;       /* since 1970: when its credentials end; 0: never */
    uint16_t round_trip_ms; /* of the last ping; UINT16_MAX: not known yet */
    uint16_t position;     /* in its client, shared with the sessions of its device (positions.h) */
    uint8_t state : 4;     /* enum session_state */
    uint8_t level : 4;     /* enum handshake_level */
    bool has_ping_out : 1; /* one ping is under way: no pong has come since it was sent */
    uint8_t n_unmatched : 2; /* of the last two pings: those whose number no pong has brought */
    bool wants_ping : 1;     /* numbered notifications were written since the last ping */
    bool is_suspect : 1;     /* silent; one last look before it is closed */
    bool is_draining : 1;    /* drain_at_ms holds */
    bool has_peer_close : 1;
    bool is_given_up : 1;    /* there was no memory for what it needs */
    bool is_unfinished : 1;  /* a message or a frame has begun, and its end has not come */
    bool is_deaf : 1;        /* CLOSING: what comes in is no longer decoded */
    uint8_t window_bits : 4; /* deflate_fits; 0: no compression was agreed */
};

/* What a session reports to the parts above it; gateway.c plugs them in. All are called on the
 * session's thread, and none may be NULL, but on_identified where no session waits in AUTH. */
struct session_events {
    /* AUTH: its token has said who it is, and all that was queued is written. The socket goes to
     * the user's home worker from here. */
    void (*on_identified)(struct session *session);
    void (*on_acked)(struct session *session);   /* session->acked has moved */
    void (*on_drained)(struct session *session); /* all that was queued is written */
    void (*on_leave)(struct session *session);   /* it leaves its client for good */
};

/* A subscriber whose request was accepted, on its way to the user's home worker. */
struct admission {
    struct transport_socket socket;
    /* May be NULL; the session's when it is there. */
    struct peer *peer;
    bool is_open;     /* it was a session already, before its user was known: no handshake */
    bool is_draining; /* an open one that was told when it will be closed: */
    uint32_t drain_at_ms;
    bool is_unknown;  /* its first message will say who it is */
    int64_t until_ms; /* since 1970: when its credentials end; 0: never */
    enum handshake_level level;
    char accept[HANDSHAKE_ACCEPT_LEN];
    struct deflate_terms deflate;
    struct resume resume;
    bool is_explicit;   /* SSE: ack=explicit */
    struct span device; /* empty: none */
    struct span user_agent;
    bool is_page;       /* WebSocket: its request had an Origin, so it sees no status */
    struct span origin; /* SSE: whose page may read the stream; empty: no CORS headers */
    uint8_t *early;     /* bytes that came behind the head, or NULL */
    size_t n_early;
};

/* Takes over the socket and queues the 101. The 200 of an event stream is held back until there is
 * something to say, because an EventSource that is blocked must hear 204 instead. On error the
 * socket is still the caller's. The session is NEW: it has no client yet. */
MUST_CHECK enum err session_new(struct worker *worker, const struct admission *admission,
                                struct session **ret_session);

/* A new session whose first message will say who it is: it waits in AUTH, for --auth-timeout. Then
 * it moves to the user's home worker, and is another session there. ERR_NO_MEMORY: it has to be
 * closed. */
MUST_CHECK enum err session_await_auth(struct session *session, struct span user_id,
                                       struct span device);

/* Says until when its credentials are good, in answer to an auth message. */
void session_send_auth(struct session *session);
/* A token of it has been verified: the next one waits for the next second. */
void session_note_verified(struct session *session);

/* It is not refused: the answer to its request, if it was held back, goes out. */
void session_open(struct session *session);

/* Its first page is written, or what waited in memory: gives back what only that needed. */
void session_trim(struct session *session);

/* The first page has come: what the session begins with (hello; SSE: retry and the position). */
void session_greet(struct session *session, uint64_t head, bool is_resumed);

/* What it asked to resume behind is not of this epoch, or not yet: a gap with cause reset. */
void session_reset(struct session *session);

/* Queues a notification and moves the tail to it. What has expired meanwhile becomes a gap.
 * ERR_FULL: session_max_bytes wait already, and nothing was queued. A failure of another kind ends
 * the session (its state tells). */
MUST_CHECK enum err session_write(struct session *session, struct notification *note);

/* These numbers will not come. Moves the tail behind them; a plain client is not told. Errors as
 * above. */
MUST_CHECK enum err session_gap(struct session *session, const struct gap *gap);

/* These numbers were withdrawn or collapsed: what still waits in memory is dropped, and a client
 * that was written one, and has not acknowledged it, is told to hide it. ERR_FULL: it was not told
 * of all of them, because session_max_bytes wait (a page that looks back tells it). */
MUST_CHECK enum err session_withdraw(struct session *session, uint64_t from, uint64_t to,
                                     enum gap_cause cause);

/* By POST /ack or a resume. false: beyond what was written. */
MUST_CHECK bool session_ack(struct session *session, uint64_t seq);

/* Sends a close frame with the error's code and leaves; retry_ms 0: the reason names none. `word`
 * NULL: the error's own. Does nothing to a session that is closing already. */
void session_close(struct session *session, enum err error, struct span word, uint32_t retry_ms);
void session_close_all(struct client *client, enum err error, struct span word);

/* Another epoch has begun: the sessions of the old one are told, and closed (4004). */
void session_resync_all(struct client *client);

/* Closes it with 1012 at a random moment before the end of the drain (node.h), and tells it so,
 * once. */
void session_drain(struct session *session);
/* One that was told before it moved here. */
void session_drain_at(struct session *session, uint32_t drain_at_ms);

/* The worker's thread, or after it has ended: no more waiting for the sessions that are CLOSING. */
void session_abandon_closing(struct worker *worker);

/* Its socket has been given away (conn_release): the session leaves, and nothing is sent. The
 * memory goes at the end of the turn. */
void session_detach(struct session *session);

/* A session for which there was no memory is of no use: its connection ends at the end of the turn.
 * The inbox has all that it has not acknowledged. */
void session_give_up(struct session *session);

void session_become(struct session *session, enum session_state state);

/* The connection's name, "c-7f3a", with a NUL; answers its length. */
enum { SESSION_NAME_MAX_BYTES = 24 };
size_t session_name(const struct session *session, char out[SESSION_NAME_MAX_BYTES]);
/* For refusals.h: its user and its address. The rest is the caller's. */
void session_who(const struct session *session, struct refused_who *ret_who);
/* A line at debug: what happened to this connection of this user. `cause` may be NULL. */
void session_log(const struct session *session, const char *event, const char *cause);

/* Bytes that wait in memory to be written. */
size_t session_queued_bytes(const struct session *session);

static inline struct worker *session_worker(const struct session *session)
{
    return CONTAINER_OF(session->conn.loop, struct worker, loop);
}

static inline bool session_is_open(const struct session *session)
{
    return session->state < SESSION_CLOSING;
}

/* Is it told of gaps and withdrawals? */
static inline bool session_has_gaps(const struct session *session)
{
    return session->level == LEVEL_V1 || session->level == LEVEL_SSE;
}

#endif
