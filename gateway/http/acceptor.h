/* The accepting side of the subscriber port. Each worker has an acceptor of its own on the shared
 * listening sockets; the kernel wakes one of them for a connection. It makes an HTTP connection of
 * each socket, as long as the node has room for one (node->max_sockets).
 *
 * The worker owns its acceptor, in worker->acceptor. */
#ifndef HERALD_ACCEPTOR_H
#define HERALD_ACCEPTOR_H

#include "gateway/http/http_conns.h"

/* Before the worker runs. on_request gets each complete request (http_conn.h). ERR_NO_MEMORY,
 * ERR_SYSTEM: the listening sockets cannot be watched. */
MUST_CHECK enum err acceptor_new(struct worker *worker, http_request_fn *on_request);

/* On the worker's thread: accepts no more, and closes connections whose request is not complete.
 */
void acceptor_close(struct worker *worker);

/* After the worker has stopped. Does nothing where the worker has none. */
void acceptor_free(struct worker *worker);

/* On the worker's thread: another one has no room for a connection, so one that rests between two
 * requests is closed here. */
void acceptor_make_room(struct worker *worker);

#endif
