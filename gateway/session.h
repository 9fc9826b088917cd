/* A session: the protocol life of one open WebSocket connection (RFC 6455): frames in, frames out,
 * pings, the closing handshake. What it is sent is decided above (delivery.c, replay.c), which it
 * calls through session_events. A session lives on its user's home worker and is touched by that
 * thread only. */
#ifndef HERALD_SESSION_H
#define HERALD_SESSION_H

#include "gateway/worker.h"
#include "proto/handshake.h"
#include "proto/ws_decoder.h"

/* Allowed successors: see session.c. */
enum session_state {
    SESSION_REPLAY,  /* reads pages of the inbox until it is at the tail */
    SESSION_LIVE,    /* its position is the tail: notifications come from memory */
    SESSION_CLOSING, /* a close frame was sent: it has left its client */
    SESSION_CLOSED,  /* the socket is closed; the memory goes at the end of the turn */
};

struct replay;

struct session {
    struct conn conn;
    struct list link; /* in client->sessions; CLOSING: in worker->closing */
    struct client *client;
    union {
        struct timer timer;
        struct grave grave; /* once closed */
    };
    struct ws_decoder decoder;
    struct replay *replay; /* the page under way */
    struct user_agent *agent;
    uint64_t id;          /* of the connection */
    uint64_t position;    /* the last number written, or known not to be there */
    uint64_t acked;       /* the last number that a pong has covered */
    uint64_t ping_number; /* what the ping under way carries */
    int64_t since_ms;     /* since 1970 */
    uint32_t heard_ms;    /* these four on session_clock */
    uint32_t next_ping_ms;
    uint32_t ping_sent_ms;
    uint32_t drain_at_ms;
    uint16_t round_trip_ms; /* of the last ping; UINT16_MAX: not known yet */
    uint8_t state : 4;      /* enum session_state */
    uint8_t level : 4;      /* enum handshake_level */
    bool is_new : 1;        /* its first page has not come yet */
    bool has_ping_out : 1;  /* one ping is under way */
    bool wants_ping : 1;    /* numbered notifications were written since the last ping */
    bool waits_drain : 1;   /* REPLAY: the next page when all is written */
    bool waits_store : 1;   /* REPLAY: the next page when the store is back */
    bool must_reread : 1;   /* REPLAY: the page under way may be too old */
    bool is_suspect : 1;    /* silent; one last look before it is closed */
    bool is_draining : 1;   /* drain_at_ms holds */
    bool has_peer_close : 1;
    bool is_deaf : 1; /* CLOSING: what comes in is no longer decoded */
};

/* What stands above. All on the session's thread. */
struct session_events {
    void (*on_acked)(struct session *session);   /* session->acked has moved */
    void (*on_drained)(struct session *session); /* all that was queued is written */
    void (*on_leave)(struct session *session);   /* it goes out of LIVE or REPLAY for good */
};

/* A connection whose handshake was accepted, on its way to the user's home worker. */
struct admission {
    int fd;
    enum handshake_level level;
    char accept[HANDSHAKE_ACCEPT_LEN];
    struct span user_agent;
    uint8_t *early; /* bytes that came behind the head, or NULL */
    size_t n_early;
};

/* Takes over the socket and queues the 101. On error the socket is still the caller's. The session
 * is in REPLAY and has no client yet. */
MUST_CHECK enum err session_new(struct worker *worker, const struct admission *admission,
                                struct session **ret_session);

/* The frame of a notification; moves the position. ERR_FULL: session_max_bytes wait already, and
 * nothing was queued. A failure of another kind ends the session (its state tells). */
MUST_CHECK enum err session_write(struct session *session, struct notification *note);

/* Sends a close frame with the error's code and leaves; retry_ms 0: the reason names none. `word`
 * NULL: the error's own. Does nothing to a session that is closing already. */
void session_close(struct session *session, enum err error, struct span word, uint32_t retry_ms);
void session_close_all(struct client *client, enum err error, struct span word);

/* Closes it with 1012 at a moment within the drain (node.h) that its id chooses. */
void session_drain(struct session *session);

/* The worker's thread, or after it has ended: no more waiting for the sessions that are CLOSING. */
void session_abandon_closing(struct worker *worker);

void session_move(struct session *session, enum session_state state);

static inline struct worker *session_worker(const struct session *session)
{
    return CONTAINER_OF(session->conn.loop, struct worker, loop);
}

static inline bool session_is_open(const struct session *session)
{
    return session->state == SESSION_REPLAY || session->state == SESSION_LIVE;
}

#endif
