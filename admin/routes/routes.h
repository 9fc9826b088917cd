/* The routes of the admin API: one row each. */
#ifndef HERALD_ADMIN_ROUTES_H
#define HERALD_ADMIN_ROUTES_H

#include "admin/guard.h"
#include "admin/keys.h"

enum { ROUTE_SEGMENTS_MAX = 2, ROUTE_ALLOW_MAX_BYTES = 64 };

struct request;

/* The body of a POST. */
struct route_body {
    enum guard_media media;

    /* NULL: the body is collected, and at most --max-body long. Else it is of any length, and the
     * route takes it as it comes: `begin` when the head is there, `take` with each piece. What
     * `take` leaves in *inout_len comes again, at once or when the connection, which waits in the
     * registry then, is resumed. Such a request is answered by `finish` at its deadline, too. */
    void (*begin)(struct request *request);
    void (*take)(struct request *request, const char *bytes, size_t *inout_len);
};

struct route {
    const char *method;
    const char *path; /* a segment `*` stands for any one; at most ROUTE_SEGMENTS_MAX */
    void (*run)(struct request *request);    /* the request is complete */
    void (*finish)(struct request *request); /* NULL: run answers itself, without the gateway */
    void (*end)(struct request *request);    /* NULL: nothing to free */
    const struct route_body *body;           /* NULL: of no interest */
    unsigned role;                           /* enum admin_role that it needs; 0: none */
};

/* What the address, the method and the body's type lead to. */
struct route_match {
    const struct route *route;
    struct span segments[ROUTE_SEGMENTS_MAX]; /* what each `*` stands for; inside the path */
    char allow[ROUTE_ALLOW_MAX_BYTES];        /* ERR_METHOD_NOT_ALLOWED: the value of Allow */
};

/* ERR_OK; ERR_NOT_FOUND; ERR_METHOD_NOT_ALLOWED; ERR_UNSUPPORTED_MEDIA_TYPE: a POST with another
 * body than the path takes. `path` is as it was sent: split before it is decoded, so that an
 * encoded `/` stays inside its segment. HEAD takes the row of GET. */
MUST_CHECK enum err route_find(const char *method, struct span path, enum guard_media media,
                               struct route_match *ret_match);

/* The functions of the rows, in the files of the same names (routes_NOUN.c). */
void push_run(struct request *request);
void push_finish(struct request *request);
void push_end(struct request *request);
void lines_begin(struct request *request);
void lines_take(struct request *request, const char *bytes, size_t *inout_len);
void lines_run(struct request *request);
void lines_finish(struct request *request);
void lines_end(struct request *request);
void broadcast_run(struct request *request);
void broadcast_finish(struct request *request);
void kick_run_body(struct request *request);
void kick_run_path(struct request *request);
void kick_finish(struct request *request);
void user_run(struct request *request);
void user_finish(struct request *request);
void user_end(struct request *request);
void inbox_run(struct request *request);
void inbox_finish(struct request *request);
void inbox_end(struct request *request);
void purge_run(struct request *request);
void purge_finish(struct request *request);
void message_run(struct request *request);
void message_finish(struct request *request);
void cancel_run(struct request *request);
void cancel_finish(struct request *request);
void online_run(struct request *request);
void ticket_run(struct request *request);
void ticket_finish(struct request *request);
void drain_run(struct request *request);
void clients_run(struct request *request);
void stats_run(struct request *request);
void metrics_run(struct request *request);
void livez_run(struct request *request);
void readyz_run(struct request *request);

#endif
