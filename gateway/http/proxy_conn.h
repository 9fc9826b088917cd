/* A connection of a trusted proxy, until its first bytes have told whether it begins with a PROXY
 * header. Then it is an HTTP connection. The header is taken from the socket without a byte of what
 * follows it, so whoever reads the socket next (HTTP, TLS) begins at its own beginning. */
#ifndef HERALD_PROXY_CONN_H
#define HERALD_PROXY_CONN_H

#include "gateway/http/http_conns.h"

/* Takes over the socket and the peer, for --head-timeout at most (the head has as long again). On
 * error they are still the caller's. `all` is the list it is in, `http_conns` where it goes. */
MUST_CHECK enum err proxy_conn_new(struct worker *worker, int fd, struct peer *peer,
                                   struct list *all, struct http_conns *http_conns);
void proxy_conn_drop_all(struct list *all);

#endif
