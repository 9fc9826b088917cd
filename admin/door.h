/* The door of the admin port: every request comes in here, on the HTTP connections of
 * gateway/http. It refuses what must not come in, by its head: framing, origin, route, key, rate,
 * media type, size. POST /push is answered here; any other request is carried to the library
 * (admin/bridge) when its body is complete.
 *
 * Threads: the worker's, except what says so. */
#ifndef HERALD_ADMIN_DOOR_H
#define HERALD_ADMIN_DOOR_H

#include "admin/admin_worker.h"
#include "admin/service.h"
#include "gateway/http/http_port.h"

struct door {
    struct http_port port;
    struct admin_worker **homes; /* by the worker's index */
};

/* The port's on_request. */
void door_on_request(struct http_conn *conn);

/* The port's log_malformed: one line a second for each cause. Any thread. */
void door_log_malformed(const char *detail);

/* Makes a worker's part of the admin API, with its library. ERR_NO_MEMORY, ERR_SYSTEM. */
MUST_CHECK enum err door_open_home(struct door *door, struct worker *worker,
                                   struct service *service);
/* When the port is closed. */
void door_close_home(struct door *door, struct worker *worker);

/* For a stop. A body of which nothing has come for quiet_ms is cut off, unless its route has paused
 * it: the complete ones of many lines are answered, and any other request is refused. */
void door_cut_quiet_bodies(struct admin_worker *home, int64_t quiet_ms);
/* From now on no request waits for the gateway; those that do are overdue, and bodies that are
 * paused go on. */
void door_give_up(struct admin_worker *home);

#endif
