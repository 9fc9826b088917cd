/* The HTTP connections of an acceptor. On its worker's thread. */
#ifndef HERALD_HTTP_CONNS_H
#define HERALD_HTTP_CONNS_H

#include "gateway/http/carried_http.h"
#include "gateway/http/http_conn.h"

void http_conns_init(struct http_conns *http_conns, struct http_port *port);

/* Makes an HTTP connection of a socket, whose first byte is the request's own (a PROXY header was
 * read before); with TLS where the port has it. The handshake counts for the address `from`, all
 * zero: for none. The head must be complete at due_ms, on worker_now_ms.
 * Takes over the socket and the peer, which may be NULL; on error both are still the caller's. */
MUST_CHECK enum err http_conn_new(struct worker *worker, int fd, struct peer *peer,
                                  const struct ip *from, int64_t due_ms, struct http_conns *all);

/* A head that is not complete by then takes its time. */
enum { HTTP_FRESH_MS = 1000 };

/* Closes the connection that can be missed most: one that was answered and waits for its peer to
 * close; a head that takes its time, if heads give way at this port; one that rests between two
 * requests; any head. Of these the one that has waited longest. false: there is none. Constant
 * time. */
bool http_conns_make_room(struct http_conns *all);
/* The same for another worker, which needs room; those that were answered are about to go anyway.
 */
void http_conns_yield(struct http_conns *all);
/* The same for a new connection of an address that has its share, where heads give way: one of the
 * same address. false: none is found. */
bool http_conns_yield_to(struct http_conns *all, const struct ip *from);
/* Could they, or are some about to go? Any thread. */
bool http_conns_can_yield(const struct http_conns *all);

/* Closes those whose head is not complete, and refuses the deferred ones (http_conn_is_late). The
 * others are answered as always. */
void http_conns_drop_unfinished(struct http_conns *all);
void http_conns_drop_all(struct http_conns *all);

/* No request begins until http_conns_resume: heads that are not complete and connections between
 * two requests are not read, but for those that cannot be carried. */
void http_conns_pause(struct http_conns *all);
void http_conns_resume(struct http_conns *all);

/* For another process that takes connections over (http_carry.h). */
void http_conns_carry(struct http_conns *all, carried_http_fn *visit, void *closure);
void http_conns_drop_carried(struct http_conns *all);
unsigned http_conns_under_way(const struct http_conns *all);

/* A plain connection that another process has had until now, at the port's present limits. As
 * http_conn_new otherwise. */
MUST_CHECK enum err http_conn_adopt(struct worker *worker, int fd, struct peer *peer,
                                    const struct ip *from, const struct carried_http *carried,
                                    struct http_conns *all);

/* For a stop: closes those whose peer has read nothing for quiet_ms of what waits to be written to
 * it. Returns how many others have something that waits. */
unsigned http_conns_drop_unread(struct http_conns *all, int64_t quiet_ms);

#endif
