/* The HTTP connections of a port on their way to another process, and those that come from one.
 *
 * The one that gives: http_carry_each reads them out while the workers stand still, and
 * http_carry_let_go closes them when the other process has them, before the workers go on. In
 * between nothing has changed, so without the latter everything goes on as before. The one that
 * takes: http_adopt holds each, and http_adopt_go begins them all. */
#ifndef HERALD_HTTP_CARRY_H
#define HERALD_HTTP_CARRY_H

#include "gateway/http/carried_http.h"
#include "gateway/http/http_port.h"

/* How many requests are under way at the port: whoever waits for them to be answered has more
 * connections to give. For workers that run: it posts to each of them and waits, so it is called on
 * another thread. */
unsigned http_carry_busy(struct http_port *port);

/* Calls `visit` with each connection that can travel; the others are those of which `carried_http`
 * says so. For the thread that has all workers' turns. */
void http_carry_each(struct http_port *port, carried_http_fn *visit, void *closure);

/* Closes those for which `visit` has said true the last time; the peer notices nothing, because the
 * other process has its socket. For the thread that has all workers' turns. */
void http_carry_let_go(struct http_port *port);

/* A connection that another process has given, for the port on that worker; see held_conns.h. In
 * the worker's turn. On an error the caller keeps the socket. ERR_NO_MEMORY. */
MUST_CHECK enum err http_adopt(struct http_port *port, struct worker *worker, int fd,
                               const struct carried_http *carried);

/* They are this process's from now on. In the worker's turn. */
void http_adopt_go(struct http_port *port, struct worker *worker);

#endif
