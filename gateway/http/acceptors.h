/* The acceptors of a port, one on each worker. They are made before anything is accepted; the port
 * is then opened on workers that run already, or that are still to be started. */
#ifndef HERALD_ACCEPTORS_H
#define HERALD_ACCEPTORS_H

#include "gateway/http/http_port.h"

/* For each worker of the node, or none. ERR_NO_MEMORY. */
MUST_CHECK enum err acceptors_new(struct http_port *port);
static inline bool acceptors_are_made(const struct http_port *port)
{
    return port->acceptors != NULL;
}

/* Begins to accept, before the workers run. ERR_NO_MEMORY, ERR_SYSTEM: the listening sockets cannot
 * be watched. */
MUST_CHECK enum err acceptors_open(struct http_port *port);

/* For workers that run: these post to each of them and wait, so they are called on another thread.
 * open: on all workers or on none. */
MUST_CHECK enum err acceptors_open_running(struct http_port *port);
/* Accepts nothing and begins no request until acceptors_resume; what comes waits in the kernel. */
void acceptors_pause(struct http_port *port);
void acceptors_resume(struct http_port *port);
/* The end of a port, some time after listeners_await_nothing: accepts what waits in the kernel, and
 * then nobody can connect any more. */
void acceptors_end(struct http_port *port);
/* Accepts no more, and closes connections whose request is not complete. The others are answered as
 * always. */
void acceptors_close(struct http_port *port);
/* Closes all connections, and frees the acceptors. */
void acceptors_free_running(struct http_port *port);

/* Another process has the listening sockets: closes them here and forgets them, and leaves the
 * connections. For the thread that has all workers' turns. */
void acceptors_let_go(struct http_port *port);

/* As acceptors_free_running, when the workers have stopped. Both do nothing if there are none. */
void acceptors_free(struct http_port *port);

#endif
