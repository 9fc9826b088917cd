/* Connections that came from another process and must not be touched yet: nothing of them is read
 * or written, epoll does not know them, and no time passes for them. On the worker's thread. */
#ifndef HERALD_HELD_CONNS_H
#define HERALD_HELD_CONNS_H

#include "gateway/http/http_conns.h"

/* Takes over the socket, and appends it to `held`. It counts among the port's sockets and for its
 * address from now on. On an error the caller keeps it. ERR_NO_MEMORY. */
MUST_CHECK enum err held_conn_new(struct http_port *port, int fd,
                                  const struct carried_http *carried, struct list *held);

/* They become connections of the port: in `proxy_conns` those whose PROXY header is awaited, in
 * `http_conns` the others. Those for which there is no memory are closed. */
void held_conns_go(struct list *held, struct worker *worker, struct list *proxy_conns,
                   struct http_conns *http_conns);

/* Closes them. The other process's connections are not affected by that. */
void held_conns_drop_all(struct list *held, struct http_port *port);

#endif
