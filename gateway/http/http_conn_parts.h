/* Shared by the sources of an HTTP connection (http_conn.h), and by these alone. */
#ifndef HERALD_HTTP_CONN_PARTS_H
#define HERALD_HTTP_CONN_PARTS_H

#include "gateway/http/http_conn.h"

/* Held of what is sent ahead of an answer. One read brings at most TRANSPORT_ROOM_BYTES: room for
 * the read that completes a head, and for another before it is seen that there is no more room. */
enum { HTTP_CONN_AHEAD_MAX_BYTES = 2 * TRANSPORT_ROOM_BYTES };

struct http_conn {
    struct conn conn;
    struct peer *peer;
    struct http_conns *all; /* the acceptor's */
    struct list link;       /* in one of their lists */
    struct timer timer;
    struct deferred_free deferred;
    struct buf bytes; /* the head, and what came after it */
    struct http_head head;
    struct letter next; /* to itself, with a pin: the next request */
    size_t n_skipped;   /* bytes still to come of a body that is not read */
    size_t body_len;
    void (*on_body)(struct http_conn *http_conn, struct span body);
    unsigned pins;
    bool is_deferred;           /* the head is complete, and its turn has not come */
    bool is_late;               /* nor did it come in time */
    bool is_waiting;            /* the request is under way elsewhere (http_conn_await) */
    bool is_answered;           /* bytes that come in are not parsed */
    bool may_be_kept;           /* after the answer to this request */
    bool is_kept;               /* the answer has said so */
    bool is_readable;           /* for pages of its Origin */
    bool is_lingering;          /* the answer is written, or it rests: it makes room for others */
    bool is_gone;               /* the socket is closed or released */
    struct http_field fields[]; /* of the head */
};

/* ---- http_conn.c ---- */

void http_conn_close(struct http_conn *http_conn);                 /* the socket, at once */
void http_conn_set_timer(struct http_conn *http_conn, int64_t ms); /* from now */
/* From now on it makes room for others, and for `ms` at most. */
void http_conn_begin_to_linger(struct http_conn *http_conn, int64_t ms);

/* ---- http_conn_request.c ---- */

size_t http_conn_on_bytes(struct conn *conn, uint8_t *bytes, size_t len);
void http_conn_on_drained(struct conn *conn);
/* The turn of a deferred request will not come in time. How it is refused depends on what it asks
 * for, so on_request is called once more. */
void http_conn_refuse_late(struct http_conn *http_conn);

#endif
