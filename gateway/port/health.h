/* Is this node well? The admin port tells (gateway.h), and so does the subscriber port, for
 * balancers that see nothing else: GET /livez and GET /readyz. */
#ifndef HERALD_HEALTH_H
#define HERALD_HEALTH_H

#include "gateway/gateway.h"
#include "gateway/http/http_conn.h"

bool health_is_live(const struct node *node);                     /* any thread */
enum gateway_readiness health_readiness(const struct node *node); /* any thread */

/* GET, HEAD /livez and /readyz, whatever the request's Host and Origin: with the admin port's
 * bodies, except that nothing is said of why a store is away. On the HTTP connection's worker. */
void health_serve_livez(struct http_conn *http_conn, struct span method);
void health_serve_readyz(struct http_conn *http_conn, struct span method);

#endif
