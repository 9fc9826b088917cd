/* The subscriber port: accepts connections, reads their request heads, refuses or upgrades them.
 * Each worker has an acceptor of its own on the shared listening sockets; the kernel wakes one of
 * them for a connection. A request whose user lives on another worker moves there once, with its
 * socket. */
#ifndef HERALD_ACCEPTOR_H
#define HERALD_ACCEPTOR_H

#include "gateway/http/http_conns.h"

/* Before the workers run. on_request gets each complete request (http_conns_init). */
MUST_CHECK enum err acceptor_new(struct worker *worker, http_request_fn *on_request);

/* On the worker's thread: accepts no more, and drops requests that are not complete yet. */
void acceptor_close(struct worker *worker);

/* After the worker has stopped. */
void acceptor_free(struct worker *worker);

/* Another worker has no place for a connection: one that is kept without a request gives up its. */
void front_make_room(struct worker *worker);

#endif
