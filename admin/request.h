/* One request of the admin API, from its head to its answer.
 *
 * A request has two halves with a reference each: the HTTP half, which libmicrohttpd ends, and the
 * gateway's, which on_done ends. While only the gateway's is under way the connection is suspended
 * (admin/pending). A deadline answers without waiting for the gateway; the request, its body and
 * its share of the memory budget stay until on_done ran. Threads: the daemon's thread alone, except
 * request_done (any). */
#ifndef HERALD_ADMIN_REQUEST_H
#define HERALD_ADMIN_REQUEST_H

#include "admin/pending.h"
#include "admin/problem.h"
#include "admin/route.h"
#include "proto/note/notification.h"

struct service;
struct MHD_Connection;

struct request {
    struct pending_request pending; /* its state in the registry, and its references */
    struct service *service;
    struct MHD_Connection *connection;
    struct route_match match; /* without a route: refused before one was found */
    bool is_complete;         /* the body has ended */

    enum err refused; /* not ERR_OK: decided before the body was complete */
    const char *refused_field;
    const char *refused_detail;
    uint64_t discarded_bytes;
    struct buf body;
    size_t charged_bytes; /* of the service's memory budget */

    unsigned status; /* 0: no answer yet */
    const char *content_type;
    struct json_out out;
    /* Not NULL: the answer comes in pieces, behind each other, at most `cap` bytes each. 0: the
     * end. -1: it must be broken off. */
    ptrdiff_t (*read_more)(struct request *request, char *out, size_t cap);

    char user_id[USER_ID_MAX_BYTES]; /* of the path */
};

/* One reference. As large as the largest request of the service's routes. NULL: out of memory. */
struct request *request_new(struct service *service, struct MHD_Connection *connection);
void request_ref(struct request *request);
void request_unref(struct request *request);

/* Judges the head and finds the route; `refused` says what came out. true: the answer must not wait
 * for the body, and the connection cannot be used afterwards. */
bool request_begin(struct request *request, const char *method, const char *path);

/* A piece of the body: kept, given to the route, or discarded when the request is refused. What
 * stays in *inout_len comes again. false: too much to discard. */
MUST_CHECK bool request_take_body(struct request *request, const char *bytes, size_t *inout_len);

/* The body is complete: runs the route. Afterwards either status is set or the gateway has it. */
void request_run(struct request *request);

/* The gateway has answered, or the deadline has: sets status. */
void request_finish(struct request *request);

/* For the routes */

/* Charges `bytes` to the memory budget, given back when the request ends. false: the budget is used
 * up, and the request should be refused with ERR_BUSY. */
MUST_CHECK bool request_charge(struct request *request, size_t bytes);

/* Hands the request to the gateway: takes the second reference. Call it before the gateway. */
void request_hand_over(struct request *request);
void request_done(struct request *request); /* in on_done */

/* The answer is what was written to `out`, or a problem in its place. */
void request_reply(struct request *request, unsigned status);
void request_refuse(struct request *request, const struct problem *problem);
void request_refuse_with(struct request *request, enum err error, const char *field,
                         const char *detail);
void request_refuse_json(struct request *request, const struct json_problem *problem);

/* Before the body has come: the answer stands behind it. The texts are constants. */
void request_refuse_head(struct request *request, enum err error, const char *field,
                         const char *detail);

/* The userId of the path, decoded and checked. false: the request is refused. */
MUST_CHECK bool request_path_user(struct request *request, struct span *ret_user);

/* The message id of the path. false: the request is refused. */
MUST_CHECK bool request_path_message(struct request *request, struct epoch *ret_epoch,
                                     uint64_t *ret_seq);

/* How often the header stands in the head; the last value, which lives as long as the head does. */
unsigned request_header(struct request *request, const char *name, struct span *ret_value);

/* A query parameter, decoded, with a NUL. ERR_NOT_FOUND: absent. ERR_INVALID_FIELD: twice, too
 * long, a bad escape or NUL. */
MUST_CHECK enum err request_query(struct request *request, const char *name, char *out, size_t cap);

/* A query parameter that is a number, min..max; absent: *ret_number stays. false: the request is
 * refused. */
MUST_CHECK bool request_query_number(struct request *request, const char *name, uint64_t min,
                                     uint64_t max, uint64_t *ret_number);

#endif
