/* A connection of a trusted proxy, until its first bytes have shown whether it begins with a PROXY
 * header. Then it becomes an HTTP connection. The header is read from the socket without a byte of
 * what follows it, so that HTTP or TLS begins at its own first byte. On the worker's thread. */
#ifndef HERALD_PROXY_CONN_H
#define HERALD_PROXY_CONN_H

#include "gateway/http/http_conns.h"

/* Takes over the socket and the peer; on an error the caller keeps both. The connection is in the
 * list `all` until it is passed to `http_conns`, after --head-timeout at the latest, which is the
 * limit for both heads together, and of which waited_ms are over. ERR_NO_MEMORY, ERR_SYSTEM. */
MUST_CHECK enum err proxy_conn_new(struct worker *worker, int fd, struct peer *peer,
                                   uint32_t waited_ms, struct list *all,
                                   struct http_conns *http_conns);
void proxy_conns_drop_all(struct list *all); /* closes them */

/* For another process that takes connections over (http_carry.h). */
void proxy_conns_carry(struct list *all, carried_http_fn *visit, void *closure);
void proxy_conns_drop_carried(struct list *all);

#endif
