/* Bridges: how requests get to the worker's library and their answers back to the clients. A bridge
 * is a socketpair of which the library has one end; it carries one request at a time, and is kept
 * for the next one. At most BRIDGE_REQUESTS_PER_TURN requests are given to the library in a turn;
 * the others wait in their order.
 *
 * The answer is passed on as fast as the client reads: of what it has not read, the two sockets and
 * the client's queue hold BRIDGE_UNSENT_BYTES each, at most. Threads: the worker's. */
#ifndef HERALD_ADMIN_BRIDGE_H
#define HERALD_ADMIN_BRIDGE_H

#include "admin/request.h"

struct bridges;

enum { BRIDGE_REQUESTS_PER_TURN = 16, BRIDGES_SPARE = 16, BRIDGE_UNSENT_BYTES = 65536 };

struct bridges_ops {
    /* The whole answer was given to the client's connection: the request ends (request_end). */
    void (*on_sent)(struct request *request);
    /* There is no memory or no descriptor for a bridge: the route does not run. */
    void (*on_unserved)(struct request *request);
    /* There will be no answer, or not all of it. */
    void (*on_broken)(struct request *request);
};

MUST_CHECK enum err bridges_new(struct admin_worker *home, const struct bridges_ops *ops,
                                struct bridges **ret_bridges);
/* The requests on bridges have ended. Afterwards the library is freed, then the bridges. NULL is
 * fine. */
void bridges_close(struct bridges *all);
void bridges_free(struct bridges *all);

/* The request is complete: the library runs its route, and the answer is written to its client. */
void bridge_carry(struct bridges *all, struct request *request);

/* The client has read: there is room for more of the answer. */
void bridge_on_room(struct request *request);

/* The client has gone, before one of the three. Call it after request->conn is NULL. */
void bridge_abandon(struct request *request);

#endif
