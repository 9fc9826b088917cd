/* An HTTP connection: a connection of the subscriber port until its request is answered, or its
 * socket is released to become a session. It knows no route: a complete head goes to on_request. */
#ifndef HERALD_HTTP_CONN_H
#define HERALD_HTTP_CONN_H

#include "gateway/identity/peers.h"
#include "gateway/node/refusals.h"
#include "gateway/node/worker.h"
#include "proto/bytes/user_id.h"
#include "proto/http/http_head.h"

struct http_conn;

/* Called once for each complete head, and once more when the turn has come that the request was put
 * off for (http_conn_take_turn). It answers the request or releases the socket, now or later, on
 * the same thread. */
typedef void http_request_fn(struct http_conn *http_conn);

/* The HTTP connections of an acceptor. Those that can make room at a full node have a list of their
 * own: however many heads are unfinished, finding one costs the same. */
struct http_conns {
    struct list open;    /* their head is not complete, or their answer not written */
    struct list written; /* answered, and wait for their peer to go; the first one waits longest */
    struct list resting; /* kept, without a request; in the same order */
    http_request_fn *on_request;
};

void http_conns_init(struct http_conns *http_conns, http_request_fn *on_request);

/* Of a connection whose first byte is its own, behind the PROXY header if there was one; with TLS
 * where the port has it. `from` is the address that its handshake counts for, all zero where
 * there is none. The head must be complete at due_ms, on worker_now_ms. Takes over the
 * socket and the peer. On error they are still the caller's. `all` are the acceptor's. */
MUST_CHECK enum err http_conn_new(struct worker *worker, int fd, struct peer *peer,
                                  const struct ip *from, int64_t due_ms, struct http_conns *all);

/* One that is answered, and only waits for its peer, gives up its place. false: there is
 * none. Constant time. */
bool http_conns_make_room(struct http_conns *all);
/* The same, of those alone that rest: for a connection that another worker has no place for. */
void http_conns_drop_resting(struct http_conns *all);

/* Drops those that have not sent a whole request yet. The others are being answered, or are refused
 * now if their turn has yet to come (http_conn_is_late). */
void http_conns_drop_unfinished(struct http_conns *all);
void http_conns_drop_all(struct http_conns *all);

/* For on_request, and what it calls. */
const struct http_head *http_conn_head(const struct http_conn *http_conn);
struct span
http_conn_bytes(const struct http_conn *http_conn); /* the head and what came behind it */

/* Gives the socket and the peer away; the HTTP connection is gone. */
struct transport_socket http_conn_release(struct http_conn *http_conn, struct peer **ret_peer);

struct peer *http_conn_peer(const struct http_conn *http_conn); /* may be NULL */
/* For the log: it lives as long as the head. */
void http_conn_who(const struct http_conn *http_conn, struct refused_who *ret_who);

/* Pages of the request's Origin, if it has one, may read the answer (CORS). */
void http_conn_let_read(struct http_conn *http_conn);

/* The answer to this request does not end the connection, unless the request wants it to (HTTP/1.0,
 * Connection: close), the node is leaving, or the end of its body cannot be told. A body is not
 * read. What came behind the request is the next one's. */
void http_conn_keep(struct http_conn *http_conn);

/* Answers and closes, unless http_conn_keep was called. `detail` and the others as in
 * http_answer.h.
 */
void http_conn_refuse(struct http_conn *http_conn, enum err error, const char *detail,
                      const char *field, const char *allow);
/* Reports to the operator which check of its credentials failed (refused_credentials); detail NULL:
 * the error's own sentence. The answer is the caller's. */
void http_conn_report_credentials(const struct http_conn *http_conn, enum err error,
                                  const char *detail);
/* As http_conn_refuse where nobody is refused (health): it is not counted. */
void http_conn_problem(struct http_conn *http_conn, enum err error, const char *detail,
                       const char *field, const char *allow);
void http_conn_answer(struct http_conn *http_conn, unsigned status, const char *content_type,
                      const char *headers, struct span body);
void http_conn_answer_raw(struct http_conn *http_conn, const struct buf *answer); /* head and all */
struct worker *http_conn_worker(struct http_conn *http_conn);

/* Demo only: from now on bytes go to on_body, until the HTTP connection is answered; `body` grows
 * in place.
 */
void http_conn_want_body(struct http_conn *http_conn, size_t len,
                         void (*on_body)(struct http_conn *http_conn, struct span body));

/* Before work that few bytes ask for (conn_take_turn). false: on_request is called again when
 * the turn of this one has come, and nothing is answered before, unless... */
MUST_CHECK bool http_conn_take_turn(struct http_conn *http_conn);
/* ...its turn has not come within --head-timeout: it must be refused now (ERR_BUSY). */
bool http_conn_is_late(const struct http_conn *http_conn);
/* This much work was done for it, which counts against the worker's share: WORKER_ASK_US for a
 * question to the store. */
void http_conn_count_work(struct http_conn *http_conn, int64_t us);

/* While a request is under way elsewhere (a push): the HTTP connection stays until http_conn_unpin,
 * whatever the peer does, and --head-timeout no longer ends it. http_conn_is_gone tells whether
 * there is somebody left to answer. */
void http_conn_await(
    struct http_conn *http_conn); /* what comes meanwhile is kept, and not looked at */
bool http_conn_is_answered(const struct http_conn *http_conn);
void http_conn_pin(struct http_conn *http_conn);
void http_conn_unpin(struct http_conn *http_conn);
bool http_conn_is_gone(const struct http_conn *http_conn);

#endif
