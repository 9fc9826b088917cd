/* A subscriber port without listening sockets, for tests that make its connections themselves. */
#ifndef HERALD_TESTS_PLAIN_PORT_H
#define HERALD_TESTS_PLAIN_PORT_H

#include "gateway/http/http_port.h"
#include "gateway/node/refusals.h"

/* With the limits that the node's options name at the moment. */
static inline void plain_port_init(struct http_port *port, struct node *node,
                                   http_request_fn *on_request)
{
    http_port_init(port, node);
    node->port = port;
    port->on_request = on_request;
    port->n_sockets = &node->n_sockets;
    port->is_ending = &node->is_draining;
    port->count_refused = refusals_count;
    port->conn_kind = HTTP_KIND_SUBSCRIBERS;
    port->has_pages = true;
    port->limits.head_timeout_ms = port->limits.stall_timeout_ms = node->options->head_timeout;
    port->limits.idle_timeout_ms = 75000;
    port->limits.max_head = (unsigned)node->options->max_head;
}

#endif
