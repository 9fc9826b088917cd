/* Routes: the type of a row of their table, and which row a request belongs to. The table itself
 * is in admin/routes and is passed in, so that nothing here knows a route. Pure. */
#ifndef HERALD_ADMIN_ROUTE_H
#define HERALD_ADMIN_ROUTE_H

#include "admin/guard.h"
#include "admin/keys.h"
#include "proto/http/http_head.h"

enum { ROUTE_SEGMENTS_MAX = 2, ROUTE_ALLOW_MAX_BYTES = 64 };

struct request;

/* What a route does with its requests, on the thread of their worker. */
struct route_action {
    /* The size of the route's own struct, whose first member is a struct request. A request is
     * allocated with the largest size of the table, and everything after that member is zero. */
    size_t request_bytes;
    void (*run)(struct request *request);    /* the request is complete */
    void (*finish)(struct request *request); /* NULL: run answers itself, without the gateway */
    void (*end)(struct request *request);    /* last of all; NULL: nothing to free */
    bool is_direct; /* the door runs it, not the library: pushes have no time to lose */

    /* NULL: the body is collected, and is at most --max-body long. Otherwise it may have any
     * length, and the route takes it as it arrives: `begin` is called once the head is there,
     * `take` with each piece. What `take` leaves in *inout_len comes again when it resumes
     * (request_pause). At its deadline, too, such a request is answered by `finish`. `abandon`: the
     * client has gone, before or after `run`. Such a route is direct. */
    void (*begin)(struct request *request);
    void (*take)(struct request *request, const char *bytes, size_t *inout_len);
    void (*abandon)(struct request *request);
};

struct route {
    const char *method;
    const char *path;       /* a segment `*` stands for any one; at most ROUTE_SEGMENTS_MAX */
    enum guard_media media; /* of the body of a POST; other methods ignore theirs */
    unsigned role;          /* the enum admin_role that it needs; 0: none */
    const struct route_action *action;
};

/* The rows of one path stand together. */
struct route_table {
    const struct route *routes;
    size_t n;
};

/* What the address, the method and the body's type lead to. */
struct route_match {
    const struct route *route;
    struct http_part segments[ROUTE_SEGMENTS_MAX]; /* what each `*` stands for; of the path */
    char allow[ROUTE_ALLOW_MAX_BYTES];             /* ERR_METHOD_NOT_ALLOWED: the value of Allow */
};

/* ERR_OK; ERR_NOT_FOUND; ERR_METHOD_NOT_ALLOWED; ERR_UNSUPPORTED_MEDIA_TYPE: a POST whose body has
 * another type than the path takes. On error ret_match->route is NULL. `path` is as it was sent: it
 * is split before it is decoded, so that an encoded `/` stays inside its segment. HEAD takes the
 * row of GET. */
MUST_CHECK enum err route_find(const struct route_table *table, struct span method,
                               struct span path, enum guard_media media,
                               struct route_match *ret_match);

/* The largest request_bytes of the table. */
size_t route_request_bytes(const struct route_table *table);

#endif
