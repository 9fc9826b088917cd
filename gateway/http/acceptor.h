/* The accepting side of a port on one worker. Each worker has an acceptor of its own on the port's
 * listening sockets, which all share; the kernel wakes one of them for a connection. It makes an
 * HTTP connection of each socket, as long as the port has room for one (port->max_sockets).
 *
 * Made and freed by acceptors.c; port->acceptors has them. Everything but acceptor_new is called on
 * the worker's thread, or while the worker does not run. */
#ifndef HERALD_ACCEPTOR_H
#define HERALD_ACCEPTOR_H

#include "gateway/http/http_conns.h"

struct acceptor;

/* Any thread. It does not accept yet. NULL: out of memory. */
struct acceptor *acceptor_new(struct worker *worker, struct http_port *port);

/* Begins to accept. ERR_NO_MEMORY, ERR_SYSTEM: the listening sockets cannot be watched. */
MUST_CHECK enum err acceptor_open(struct acceptor *acceptor);

/* Accepts nothing until acceptor_resume; what comes waits in the kernel. Both may be called while
 * it is closed, and then mean nothing. */
void acceptor_pause(struct acceptor *acceptor);
void acceptor_resume(struct acceptor *acceptor);

/* It accepts no more, and knows the listening sockets no more: another process has them. */
void acceptor_let_go(struct acceptor *acceptor);

/* How many requests are under way (http_carry_busy). */
unsigned acceptor_under_way(const struct acceptor *acceptor);

/* Its connections on their way to another process, and those that come from one (http_carry.h). */
void acceptor_carry(struct acceptor *acceptor, carried_http_fn *visit, void *closure);
void acceptor_drop_carried(struct acceptor *acceptor);
MUST_CHECK enum err acceptor_adopt(struct acceptor *acceptor, int fd,
                                   const struct carried_http *carried);
void acceptor_go_on(struct acceptor *acceptor);

/* Accepts what waits in the kernel, and then no more. What has no room is refused. */
void acceptor_take_last(struct acceptor *acceptor);

/* For a stop (http_conns_drop_unread). */
unsigned acceptor_drop_unread(struct acceptor *acceptor, int64_t quiet_ms);

/* Accepts no more, and closes connections whose request is not complete. */
void acceptor_close(struct acceptor *acceptor);

/* Closes what is left. NULL is fine. */
void acceptor_free(struct acceptor *acceptor);

#endif
