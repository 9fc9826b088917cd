/* Between the files of an HTTP connection (http_conn.h); for http_conn*.c alone. */
#ifndef HERALD_HTTP_CONN_PARTS_H
#define HERALD_HTTP_CONN_PARTS_H

#include "gateway/http/http_conn.h"

struct http_conn {
    struct conn conn;
    struct peer *peer;
    struct http_conns *all; /* the acceptor's */
    struct list link;       /* in one of their lists */
    struct timer timer;
    struct grave grave;
    struct buf bytes; /* the head, and what came behind it */
    struct http_head head;
    struct letter next; /* to itself, with a pin: the next request */
    size_t n_skipped;   /* bytes to come that belong to a body that is not read */
    size_t body_len;
    void (*on_body)(struct http_conn *http_conn, struct span body);
    unsigned pins;
    bool is_put_off;            /* the head is complete, and its turn has not come */
    bool is_late;               /* nor has it come in time */
    bool is_waiting;            /* the head is complete, and somebody is asked about it */
    bool is_answered;           /* what comes in is no longer looked at */
    bool may_be_kept;           /* after the answer to this request */
    bool is_kept;               /* the answer has said so */
    bool is_readable;           /* for pages of its Origin */
    bool is_lingering;          /* the answer is written, or it rests */
    bool is_gone;               /* the socket is closed */
    struct http_field fields[]; /* of the head */
};

/* http_conn.c */
void http_conn_finish(struct http_conn *http_conn); /* closes the socket */

/* http_conn_answer.c */
void http_conn_set_timer(struct http_conn *http_conn, int64_t ms); /* from now */
/* From now on it makes room for others. */
void http_conn_begin_to_linger(struct http_conn *http_conn, int64_t ms);

static inline struct node *http_conn_node(struct http_conn *http_conn)
{
    return http_conn_worker(http_conn)->node;
}

#endif
