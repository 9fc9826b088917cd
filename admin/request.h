/* One request of the admin API, from its head to its answer.
 *
 * A request has two halves, each with a reference: the HTTP half, which libmicrohttpd ends, and the
 * gateway's half, which on_done ends. While only the gateway's half is left the connection is
 * suspended (admin/pending). At its deadline a request is answered without the gateway; the
 * request, its body and its share of the memory budget stay until on_done has run. A route that
 * needs more than this struct embeds it (struct route_action).
 *
 * Threads: the daemon's thread only, except request_done, request_ref and request_unref (any). */
#ifndef HERALD_ADMIN_REQUEST_H
#define HERALD_ADMIN_REQUEST_H

#include "admin/pending.h"
#include "admin/problem.h"
#include "admin/route.h"
#include "proto/bytes/user_id.h"
#include "proto/note/notification.h"

struct service;
struct MHD_Connection;

struct request {
    struct pending_request pending; /* its state in the registry, and its references */
    struct service *service;
    struct MHD_Connection *connection;
    struct route_match match; /* route NULL: refused before one was found */
    bool is_complete;         /* the body has ended */

    enum err refused; /* not ERR_OK: decided before the body was complete */
    const char *refused_field;
    const char *refused_detail;
    uint64_t discarded_bytes;
    struct buf body;
    size_t charged_bytes; /* charged to the memory budget of the service */

    unsigned status; /* 0: no answer yet */
    const char *content_type;
    struct json_out out;
    /* Not NULL: writes the next piece of the answer, at most `cap` bytes. 0: the end. -1: the
     * answer must be cut off. */
    ptrdiff_t (*read_more)(struct request *request, char *out, size_t cap);

    char user_id[USER_ID_MAX_BYTES]; /* decoded from the path; of tickets: from the body */
};

/* One reference. As large as the largest request of the service's routes. NULL: out of memory. */
struct request *request_new(struct service *service, struct MHD_Connection *connection);
void request_ref(struct request *request);
void request_unref(struct request *request);

/* Checks the head and finds the route; sets `refused` if the request is refused. true: it must be
 * answered before its body arrives, and the connection is then closed. */
bool request_begin(struct request *request, const char *method, const char *path);

/* A piece of the body: kept, passed to the route, or discarded when the request is refused. The
 * last *inout_len bytes come again. false: too much to discard. */
MUST_CHECK bool request_take_body(struct request *request, const char *bytes, size_t *inout_len);

/* The body is complete: runs the route. Afterwards either `status` is set, or the gateway has the
 * request. */
void request_run(struct request *request);

/* The gateway has answered, or the deadline has passed: sets `status`. */
void request_finish(struct request *request);

/* For the routes */

/* Charges `bytes` to the memory budget, given back when the request ends. false: the budget is used
 * up, and the request should be refused with ERR_BUSY. */
MUST_CHECK bool request_charge(struct request *request, size_t bytes);

/* Hands the request to the gateway: takes the second reference. Call it before the gateway. */
void request_hand_over(struct request *request);
void request_done(struct request *request); /* in on_done */

/* The answer is what was written to `out`, or a problem document instead. */
void request_reply(struct request *request, unsigned status);
void request_refuse_with(struct request *request, enum err error, const char *field,
                         const char *detail);
void request_refuse_json(struct request *request, const struct json_problem *problem);

/* Before the body has arrived: it is discarded, then the request is answered. The texts are
 * constants. */
void request_refuse_head(struct request *request, enum err error, const char *field,
                         const char *detail);

/* The userId of the path, decoded and checked. false: the request is refused. */
MUST_CHECK bool request_path_user(struct request *request, struct span *ret_user);

/* The message id of the path. false: the request is refused. */
MUST_CHECK bool request_path_message(struct request *request, struct epoch *ret_epoch,
                                     uint64_t *ret_seq);

/* How often the head has the header; its last value, which lives as long as the head. */
unsigned request_header(struct request *request, const char *name, struct span *ret_value);

/* A query parameter, decoded, with a NUL. ERR_NOT_FOUND: absent. ERR_INVALID_FIELD: twice, too
 * long, a bad escape or NUL. */
MUST_CHECK enum err request_query(struct request *request, const char *name, char *out, size_t cap);

/* A query parameter that is a number, min..max; absent: *ret_number stays. false: the request is
 * refused. */
MUST_CHECK bool request_query_number(struct request *request, const char *name, uint64_t min,
                                     uint64_t max, uint64_t *ret_number);

#endif
