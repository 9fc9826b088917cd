/* Is this node well? The admin port tells (gateway.h), and so does the subscriber port, for
 * balancers that see nothing else: GET /livez and GET /readyz. */
#ifndef HERALD_HEALTH_H
#define HERALD_HEALTH_H

#include "gateway/gateway.h"
#include "gateway/http/http_conn.h"

bool health_is_live(const struct node *node);                     /* any thread */
enum gateway_readiness health_readiness(const struct node *node); /* any thread */

/* Answers the HTTP connection if it asks for /livez or /readyz, whatever its Host and whoever it
 * is: with the admin port's bodies, but why a store is away is nobody's business here. false: it
 * asks for something else. On the HTTP connection's worker. */
bool health_serve(struct http_conn *http_conn);

#endif
