/* Shared by the sources of an HTTP connection (http_conn.h), and by these alone. */
#ifndef HERALD_HTTP_CONN_PARTS_H
#define HERALD_HTTP_CONN_PARTS_H

#include "gateway/http/http_conn.h"

/* Held of what is sent ahead of an answer. One read brings at most TRANSPORT_ROOM_BYTES: room for
 * the read that completes a head, and for another before it is seen that there is no more room. */
enum { HTTP_CONN_AHEAD_MAX_BYTES = 2 * TRANSPORT_ROOM_BYTES };

#define HTTP_CONN_NOT_DUE INT64_MAX

struct http_conn {
    struct conn conn;
    struct peer *peer;
    struct http_conns *all; /* the acceptor's */
    struct list link;       /* in one of their lists */
    struct timer timer;     /* due at due_ms or before; then it is set again */
    int64_t due_ms;         /* monotonic; HTTP_CONN_NOT_DUE: nothing is awaited */
    struct deferred_free deferred;
    struct buf bytes;          /* the head, and what came after it */
    struct span lent;          /* the same while it is still where it was read, in on_bytes */
    struct http_head head;     /* its fields are in `all` while it is lent */
    struct http_field *fields; /* its own, once it is held; NULL: never was one held */
    uint32_t n_fields;         /* room in `fields` */
    struct letter next;        /* to itself, with a pin: what goes on in the next turn */
    size_t n_skipped;          /* bytes still to come of a body that is not read */
    size_t body_len;           /* bytes after the head, here or to come, that are its body */
    void (*on_body)(struct http_conn *http_conn, struct span body);
    const struct http_request_ops *ops; /* of its owner, until the request is answered */
    void *owner;
    struct http_body body; /* while is_streaming */
    unsigned pins;
    bool is_heading;     /* in the list of those whose head is not complete */
    bool is_deferred;    /* the head is complete, and its turn has not come */
    bool is_late;        /* nor did it come in time */
    bool is_waiting;     /* the request is under way elsewhere (http_conn_await) */
    bool is_streaming;   /* its body goes to ops->on_body */
    bool was_streamed;   /* all of it, or a part */
    bool is_body_paused; /* the owner takes nothing now */
    bool is_half_closed; /* the peer sends no more */
    bool is_answering;   /* an answer in pieces has begun */
    bool is_chunked;     /* it has no length */
    bool is_answered;    /* bytes that come in are not parsed */
    bool is_next_posted; /* the letter is on its way */
    bool may_be_kept;    /* after the answer to this request */
    bool is_kept;        /* the answer has said so */
    bool is_readable;    /* for pages of its Origin */
    bool is_lingering;   /* the answer is written, or it rests: it makes room for others */
    bool is_gone;        /* the socket is closed or released */
    bool is_carried;     /* another process has it, too (http_conn_carry.c) */
};

static inline struct http_port *http_conn_own_port(const struct http_conn *http_conn)
{
    return http_conn->all->port;
}

static inline const struct http_limits *http_conn_limits(const struct http_conn *http_conn)
{
    return &http_conn->all->port->limits;
}

/* ---- http_conn.c ---- */

void http_conn_close(struct http_conn *http_conn); /* the socket, at once */
/* Into one of the lists, as the one that has waited least. */
void http_conn_move(struct http_conn *http_conn, struct list *list);
/* From now. The timer itself moves only to an earlier time: most requests are over long before. */
void http_conn_set_timer(struct http_conn *http_conn, int64_t ms);
void http_conn_cancel_timer(struct http_conn *http_conn);
/* From now on it makes room for others, and for `ms` at most. */
void http_conn_begin_to_linger(struct http_conn *http_conn, int64_t ms);
void http_conn_end_lingering(struct http_conn *http_conn); /* if it does */
/* What was lent and is still needed is copied. false: out of memory, and it is closed. */
bool http_conn_hold(struct http_conn *http_conn);
/* Bytes that came after the request are held: they are the next ones. */
bool http_conn_has_more_here(const struct http_conn *http_conn);

/* Calls http_conn_on_next in a later turn. */
void http_conn_go_on_later(struct http_conn *http_conn);

/* ---- http_conns.c ---- */

/* In the list of heads, and nothing is read before conn_begin; no timer is set. `tls` NULL: a plain
 * one. Parameters and errors as of http_conn_new. */
MUST_CHECK enum err http_conn_make(struct worker *worker, int fd, struct peer *peer,
                                   const struct ip *from, struct tls_context *tls,
                                   struct http_conns *all, struct http_conn **ret_http_conn);

/* ---- http_conn_answer.c ---- */

/* The owner hears no more. */
void http_conn_disown(struct http_conn *http_conn);

/* ---- http_conn_body.c ---- */

/* Offers the owner what is here of the body, after the head. */
void http_conn_pump_body(struct http_conn *http_conn);
/* The same for bytes that have just come. */
void http_conn_stream(struct http_conn *http_conn, const uint8_t *bytes, size_t len);
/* The body has not moved in time. */
void http_conn_stall_body(struct http_conn *http_conn);

/* ---- http_conn_request.c ---- */

size_t http_conn_on_bytes(struct conn *conn, uint8_t *bytes, size_t len);
void http_conn_on_drained(struct conn *conn);
void http_conn_on_next(struct letter *letter); /* `next` */
/* A head is expected next, with nothing of it here. */
void http_conn_expect_head(struct http_conn *http_conn);
/* The peer sends no more. false: nothing is left to do for it. */
bool http_conn_half_close(struct http_conn *http_conn);
/* The turn of a deferred request will not come in time. How it is refused depends on what it asks
 * for, so on_request is called once more. */
void http_conn_refuse_late(struct http_conn *http_conn);

#endif
