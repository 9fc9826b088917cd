/* An HTTP connection: a connection of a port (http_port.h) until it ends, or until its socket is
 * released to become a session. It knows no route: a complete head goes to the port's on_request,
 * which calls the functions below. New ones are made in http_conns.h.
 *
 * Threads: the worker's that accepted it. Memory: it frees itself at the end of a turn, once its
 * socket is closed or released and nobody holds a pin. Limits: a head of max_head within
 * head_timeout_ms, and what is sent ahead of an answer (http_conn_request.c). */
#ifndef HERALD_HTTP_CONN_H
#define HERALD_HTTP_CONN_H

#include "gateway/http/http_port.h"
#include "gateway/identity/peers.h"
#include "gateway/node/refusals.h"
#include "gateway/node/worker.h"
#include "proto/http/http_body.h"

struct http_conn;

/* What the owner of a request is told, from http_conn_own until its answer is given. Each may be
 * NULL. None is called from within a function of this file. */
struct http_request_ops {
    /* A piece of the body (http_conn_take_body), and whether it is the last one, which may be
     * empty. Returns how much of it was taken; the body rests when that is not all, until
     * http_conn_resume_body, and the rest is passed again. The bytes are the HTTP connection's. */
    size_t (*on_body)(struct http_conn *http_conn, struct span piece, bool is_last);
    /* The body is malformed, and its end cannot be found (ERR_BAD_HEAD), or it has not moved for
     * stall_timeout_ms (ERR_HEAD_TIMEOUT). The request can still be refused. NULL: it is. */
    void (*on_bad_body)(struct http_conn *http_conn, enum err error, const char *detail);
    /* The request is complete, and its peer will send no more; it may have gone, or may read the
     * answer. NULL: then the connection is closed. */
    void (*on_half_closed)(struct http_conn *http_conn);
    /* Everything that was sent of an answer in pieces is written; at most once a turn. */
    void (*on_room)(struct http_conn *http_conn);
    /* The socket is closed, and the request cannot be answered. Nothing is called after this. */
    void (*on_gone)(struct http_conn *http_conn);
};

/* All HTTP connections of an acceptor (http_conns.h). Those that make room at a full port have
 * lists of their own, so that finding one takes constant time. */
struct http_conns {
    struct http_port *port;
    struct list heads;   /* the head is not complete; longest wait first */
    struct list open;    /* a request is under way: its answer is not written */
    struct list written; /* the answer is written, and its peer has to close; longest wait first */
    struct list resting; /* between two requests; longest wait first */
    /* How many there are; written by the worker, read by any thread. */
    atomic_uint n_heads;
    atomic_uint n_lingering; /* answered, and waiting for their peer to close or to ask again */
    struct http_field fields[HTTP_HEAD_MAX_FIELDS]; /* of the head that is being parsed */
};

struct worker *http_conn_worker(struct http_conn *http_conn);

const struct http_port *http_conn_port(const struct http_conn *http_conn);

static inline struct node *http_conn_node(struct http_conn *http_conn)
{
    return http_conn_worker(http_conn)->node;
}

/* ---- the request ---- */

const struct http_head *http_conn_head(const struct http_conn *http_conn);
/* The head, and bytes that have come after it. They may move when on_request or on_body returns. */
struct span http_conn_bytes(const struct http_conn *http_conn);

/* A part of the head, and its fields (http_head.h), among these bytes. */
static inline struct span http_conn_part(const struct http_conn *http_conn, struct http_part part)
{
    return http_part_span(http_conn_bytes(http_conn).bytes, part);
}

static inline bool http_conn_find_field(const struct http_conn *http_conn, const char *name,
                                        struct span *ret_value)
{
    return http_head_find(http_conn_head(http_conn), http_conn_bytes(http_conn).bytes, name,
                          ret_value);
}

static inline unsigned http_conn_count_fields(const struct http_conn *http_conn, const char *name)
{
    return http_head_count(http_conn_head(http_conn), http_conn_bytes(http_conn).bytes, name);
}

struct peer *http_conn_peer(const struct http_conn *http_conn); /* may be NULL */
/* The request as the log names it; its spans are valid as long as http_conn_bytes. */
void http_conn_subject(const struct http_conn *http_conn, struct refusal_subject *ret_subject);

/* Somebody owns the request from now on until it is answered. */
void http_conn_own(struct http_conn *http_conn, const struct http_request_ops *ops, void *owner);
void *http_conn_owner(const struct http_conn *http_conn); /* NULL: nobody */

/* In on_request, after http_conn_own: the body is wanted, and on_body gets it when on_request has
 * returned, the last piece at once if it has come with the head. A client that waits for it is told
 * to go on (Expect: 100-continue). ERR_BAD_HEAD: the end of the body cannot be known; *ret_detail
 * is for the refusal. */
MUST_CHECK enum err http_conn_take_body(struct http_conn *http_conn, const char **ret_detail);
/* The rest of the body waits in the kernel, and the stall timeout does not run. */
void http_conn_pause_body(struct http_conn *http_conn);
void http_conn_resume_body(struct http_conn *http_conn); /* not resting: does nothing */

/* From now on, until the answer, the bytes after the head are the request's body. on_body gets all
 * `len` of them at once. `len` is the caller's to limit. */
void http_conn_want_body(struct http_conn *http_conn, size_t len,
                         void (*on_body)(struct http_conn *http_conn, struct span body));

/* ---- work that a few bytes ask for ---- */

/* Before such work (conn_take_turn). false: do nothing now, the request is deferred. on_request is
 * called again when its turn has come; only a late one has to be refused at once (ERR_BUSY). */
MUST_CHECK bool http_conn_take_turn(struct http_conn *http_conn);
/* The turn of a deferred request has not come within head_timeout_ms. */
bool http_conn_is_late(const struct http_conn *http_conn);
/* This much work was done for the request. It counts against the worker's share: WORKER_ASK_US for
 * a question to the store. */
void http_conn_count_work(struct http_conn *http_conn, int64_t us);

/* ---- while the request is under way elsewhere ---- */

/* A pin keeps the memory until http_conn_unpin, whatever the peer does, and stops the timer of
 * head_timeout_ms. */
void http_conn_pin(struct http_conn *http_conn);
void http_conn_unpin(struct http_conn *http_conn);
/* Bytes that come before the answer are kept, and are not parsed. */
void http_conn_await(struct http_conn *http_conn);
/* The socket is closed or released: there is nothing left to answer. */
bool http_conn_is_gone(const struct http_conn *http_conn);
bool http_conn_is_answered(const struct http_conn *http_conn);

/* ---- the end of the request: one of these, once ---- */

/* Gives the socket and the peer to the caller. Only a pin still keeps the HTTP connection. */
struct transport_socket http_conn_release(struct http_conn *http_conn, struct peer **ret_peer);

/* Before the answer: the connection goes on after it, unless the request says otherwise
 * (Connection: close, or HTTP/1.0 without Connection: keep-alive), the node drains, or the end of
 * the request's body cannot be known. A short body is skipped. */
void http_conn_keep(struct http_conn *http_conn);
/* Before the answer: pages of the request's Origin, if it has one, may read it (CORS). */
void http_conn_let_read(struct http_conn *http_conn);

/* An answer ends the connection, unless http_conn_keep was called before. Parameters as in
 * http_answer.h; nothing is kept of them. Without memory the connection is closed. */
void http_conn_answer(struct http_conn *http_conn, unsigned status, const char *content_type,
                      const char *headers, struct span body);
void http_conn_answer_raw(struct http_conn *http_conn,
                          const struct buf *answer); /* with its head */

/* An answer in pieces, instead. `len` is the length of all of them; -1: it is not known, so they
 * are sent in chunks, or to HTTP/1.0 until the end of the connection. What is sent is copied into
 * the connection's queue; http_conn_unsent says how much waits there, and on_room when nothing
 * does. */
void http_conn_begin_answer(struct http_conn *http_conn, unsigned status, const char *content_type,
                            const char *headers, int64_t len);
void http_conn_send_piece(struct http_conn *http_conn, struct span piece, bool is_last);
size_t http_conn_unsent(const struct http_conn *http_conn);
/* The answer cannot be completed: the connection is closed, so that the peer notices. */
void http_conn_break_off(struct http_conn *http_conn);

/* The same for a refusal, which is counted, and logged where somebody has to see it there. */
void http_conn_refuse(struct http_conn *http_conn, enum err error, const char *detail,
                      const char *field, const char *allow);
/* The same answer where no request is refused, but the node is not well: it is not counted. */
void http_conn_problem(struct http_conn *http_conn, enum err error, const char *detail,
                       const char *field, const char *allow);
/* Logs which check the request's credentials failed (refusals_log_credentials); detail NULL: the
 * error's own sentence. The answer is the caller's. */
void http_conn_report_credentials(const struct http_conn *http_conn, enum err error,
                                  const char *detail);

#endif
