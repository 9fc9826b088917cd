/* An arrival: a connection of the subscriber port until its request is answered, or has become a
 * session on the user's home worker (port_routes.h says which). */
#ifndef HERALD_HTTP_CONN_H
#define HERALD_HTTP_CONN_H

#include "gateway/identity/peers.h"
#include "gateway/node/refusals.h"
#include "gateway/node/worker.h"
#include "proto/bytes/user_id.h"
#include "proto/http/http_head.h"

struct arrival;

/* The arrivals of a front. Those that can make room at a full node have a list of their own:
 * however many heads are unfinished, finding one costs the same. */
struct arrivals {
    struct list open;    /* their head is not complete, or their answer not written */
    struct list written; /* answered, and wait for their peer to go; the first one waits longest */
    struct list resting; /* kept, without a request; in the same order */
};

void arrivals_init(struct arrivals *arrivals);

/* Of a connection whose first byte is its own, behind the PROXY header if there was one; with TLS
 * where the port has it. `from` is the address that its handshake counts for, all zero where
 * there is none. The head must be complete at due_ms, on worker_now_ms. Takes over the
 * socket and the source. On error they are still the caller's. `all` are the front's. */
MUST_CHECK enum err arrival_new(struct worker *worker, int fd, struct source *source,
                                const struct ip *from, int64_t due_ms, struct arrivals *all);

/* One that is answered, and only waits for its peer, gives up its place. false: there is
 * none. Constant time. */
bool arrivals_make_room(struct arrivals *all);
/* The same, of those alone that rest: for a connection that another worker has no place for. */
void arrivals_drop_resting(struct arrivals *all);

/* Drops those that have not sent a whole request yet. The others are being answered, or are refused
 * now if their turn has yet to come (arrival_is_late). */
void arrivals_drop_unfinished(struct arrivals *all);
void arrivals_drop_all(struct arrivals *all);

/* For those who answer the request (port_routes.c, ack_route.c, demo.c). */
const struct http_head *arrival_head(const struct arrival *arrival);
struct span arrival_bytes(const struct arrival *arrival); /* the head and what came behind it */

/* Gives the socket and the source away; the arrival is gone. */
struct transport_socket arrival_release(struct arrival *arrival, struct source **ret_source);

struct source *arrival_source(const struct arrival *arrival); /* may be NULL */
/* For the log: it lives as long as the head. */
void arrival_who(const struct arrival *arrival, struct refused_who *ret_who);

/* Pages of the request's Origin, if it has one, may read the answer (CORS). */
void arrival_let_read(struct arrival *arrival);

/* The answer to this request does not end the connection, unless the request wants it to (HTTP/1.0,
 * Connection: close), the node is leaving, or the end of its body cannot be told. A body is not
 * read. What came behind the request is the next one's. */
void arrival_keep(struct arrival *arrival);

/* Answers and closes, unless arrival_keep was called. `detail` and the others as in http_answer.h.
 */
void arrival_refuse(struct arrival *arrival, enum err error, const char *detail, const char *field,
                    const char *allow);
/* The same where nobody is refused (health.c): it is not counted. */
void arrival_problem(struct arrival *arrival, enum err error, const char *detail, const char *field,
                     const char *allow);
void arrival_answer(struct arrival *arrival, unsigned status, const char *content_type,
                    const char *headers, struct span body);
void arrival_answer_raw(struct arrival *arrival, const struct buf *answer); /* head and all */
struct worker *arrival_worker(struct arrival *arrival);

/* Demo only: from now on bytes go to on_body, until the arrival is answered; `body` grows in place.
 */
void arrival_want_body(struct arrival *arrival, size_t len,
                       void (*on_body)(struct arrival *arrival, struct span body));

/* Before work that few bytes ask for (conn_take_turn). false: admit is called again when the turn
 * of this one has come, and nothing is answered before, unless... */
MUST_CHECK bool arrival_take_turn(struct arrival *arrival);
/* ...its turn has not come within --head-timeout: it must be refused now (ERR_BUSY). */
bool arrival_is_late(const struct arrival *arrival);
/* The store has been asked about it, which is as much work as WORKER_ASK_US. */
void arrival_count_ask(struct arrival *arrival);

/* While a request is under way elsewhere (a push): the arrival stays until arrival_unpin, whatever
 * the peer does, and --head-timeout no longer ends it. arrival_is_gone tells whether there is
 * somebody left to answer. */
void arrival_await(struct arrival *arrival); /* what comes meanwhile is kept, and not looked at */
bool arrival_is_answered(const struct arrival *arrival);
void arrival_pin(struct arrival *arrival);
void arrival_unpin(struct arrival *arrival);
bool arrival_is_gone(const struct arrival *arrival);

#endif
