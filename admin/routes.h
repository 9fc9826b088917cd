/* The routes of the admin API: one row each. */
#ifndef HERALD_ADMIN_ROUTES_H
#define HERALD_ADMIN_ROUTES_H

#include "proto/error.h"
#include "proto/span.h"

#include <stdbool.h>

struct request;

struct route {
    const char *method;
    const char *path; /* a segment `*` stands for any one segment; one at most */
    void (*run)(struct request *request);
    void (*finish)(struct request *request); /* NULL: run answers itself, without the gateway */
    void (*end)(struct request *request);    /* NULL: nothing to free */
};

/* ERR_OK; ERR_NOT_FOUND; ERR_METHOD_NOT_ALLOWED with the value of Allow. `path` is as it was sent:
 * split before it is decoded, so that an encoded `/` stays inside its segment. HEAD takes the row
 * of GET. *ret_segment lies inside `path`. */
MUST_CHECK enum err route_find(const char *method, struct span path, const struct route **ret_route,
                               struct span *ret_segment, const char **ret_allow);

/* The functions of the rows, in routes_push.c, routes_users.c and routes_ops.c. */
void push_run(struct request *request);
void push_finish(struct request *request);
void push_end(struct request *request);
void kick_run_body(struct request *request);
void kick_run_path(struct request *request);
void kick_finish(struct request *request);
void user_run(struct request *request);
void user_finish(struct request *request);
void user_end(struct request *request);
void clients_run(struct request *request);
void stats_run(struct request *request);
void metrics_run(struct request *request);
void livez_run(struct request *request);
void readyz_run(struct request *request);

#endif
