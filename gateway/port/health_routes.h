/* How the node is, for balancers that see the subscriber port alone (node/health.h). */
#ifndef HERALD_HEALTH_ROUTES_H
#define HERALD_HEALTH_ROUTES_H

#include "gateway/http/http_conn.h"

/* GET, HEAD /livez and /readyz, whatever the request's Host and Origin: with the admin port's
 * bodies, except that nothing is said of why a store is away. On the HTTP connection's worker. */
void health_serve_livez(struct http_conn *http_conn, struct span method);
void health_serve_readyz(struct http_conn *http_conn, struct span method);

#endif
