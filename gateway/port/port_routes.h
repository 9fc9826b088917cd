/* What a complete request of the subscriber port is answered with: by becoming a session (a
 * WebSocket at /ws, an event stream at /sse), by the acknowledgement at /ack, or with a refusal. */
#ifndef HERALD_PORT_ROUTES_H
#define HERALD_PORT_ROUTES_H

#include "gateway/http/http_conn.h"

/* What the acceptors are started with (acceptor_new). On the HTTP connection's worker. */
void port_routes_serve(struct http_conn *http_conn);

#endif
