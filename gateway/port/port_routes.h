/* The routes of the subscriber port: WebSockets at /ws and event streams at /sse, which become
 * sessions, acknowledgements at /ack, the node's health, and the demo's with --demo. */
#ifndef HERALD_PORT_ROUTES_H
#define HERALD_PORT_ROUTES_H

#include "gateway/http/http_conn.h"

/* What the acceptors are started with (acceptor_new). On the HTTP connection's worker. */
void port_routes_serve(struct http_conn *http_conn);

/* The port's is_open_path: the routes of the node's health. */
bool port_routes_is_open(struct span path);

#endif
