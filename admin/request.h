/* One request of the admin API, from its head to its answer.
 *
 * Two engines serve requests: the door (admin/door) and, for most routes, the library
 * (admin/library). A request has a reference for the door, one for the library while it has the
 * request, and one for the gateway, which on_done ends. While the gateway has it, the engine waits
 * (on_answered). At its deadline a request is answered without the gateway; the request, its body
 * and its share of the memory budget stay until on_done has run. A route that needs more than this
 * struct embeds it (struct route_action).
 *
 * Threads: its worker's (`home`), except request_done. */
#ifndef HERALD_ADMIN_REQUEST_H
#define HERALD_ADMIN_REQUEST_H

#include "admin/admin_worker.h"
#include "admin/problem.h"
#include "admin/route.h"
#include "proto/bytes/user_id.h"
#include "proto/http/http_head.h"
#include "proto/note/notification.h"

enum { REQUEST_DEADLINE_MS = 30000 }; /* in addition to the time that the request asks to wait */

enum request_state {
    REQUEST_READING, /* the body arrives */
    REQUEST_PAUSED,  /* the body arrives, and the route takes no more at the moment */
    REQUEST_WORKING, /* the gateway has it, inside the call or until `on_answered` */
    REQUEST_DONE,    /* the gateway has answered */
    REQUEST_OVERDUE, /* the deadline has passed, or Herald stops: answered without the gateway */
};

/* What an engine does when something has come that it waits for. */
struct request_engine {
    void (*on_answered)(struct request *request); /* `status` is set */
    void (*on_room)(struct request *request);     /* the route takes more of the body */
};

struct http_conn;

struct request {
    struct admin_worker *home;
    struct service *service; /* home's */
    const struct request_engine *engine;
    unsigned refs;
    enum request_state state;
    struct timer deadline;
    struct letter answered; /* on_done ran on another thread */
    struct list link;       /* in home->requests, until has_ended */
    struct list turn;       /* while it waits for a bridge (admin/bridge) */
    bool is_running;        /* a stop waits for its answer: complete, or a body of many lines */
    bool is_waiting;        /* on_answered will be called */
    bool is_late;           /* the deadline of a pause has passed */
    bool is_complete;       /* the body has ended */
    int64_t moved_ms;       /* when it began, or a piece of its body came; on worker_now_ms */
    bool is_cut;            /* by a stop, before its end */
    bool has_ended;         /* answered, or its client has gone: it is not counted any more */
    uint32_t wait_ms;       /* the gateway may take this long before the deadline's time begins */
    /* Not NULL: the gateway waits on behalf of the client, and this makes it answer when the client
     * has gone. */
    void (*give_up)(struct request *request);

    struct http_conn *conn; /* the client's; NULL: it has gone */
    void *exchange;         /* the library's engine */
    /* The head (request_find_head); until the route's `run` has returned. */
    const struct http_head *head;
    const char *head_bytes;
    struct access_account *account;
    struct access_file *keys; /* held, with the account */
    struct route_match match; /* route NULL: refused before one was found */

    enum err refused; /* not ERR_OK: decided before the body was complete */
    const char *refused_field;
    const char *refused_detail;
    bool is_encoded; /* refused for its content coding */
    uint64_t discarded_bytes;
    struct buf body;
    struct budget_charge charge;

    unsigned status; /* 0: no answer yet */
    const char *content_type;
    struct json_out out;
    /* Not NULL: writes the next piece of the answer, at most `cap` bytes. 0: the end. -1: the
     * answer must be cut off. */
    ptrdiff_t (*read_more)(struct request *request, char *out, size_t cap);
    size_t n_sent; /* by now, of an answer that is sent from `out` in pieces */

    char user_id[USER_ID_MAX_BYTES]; /* decoded from the path; of tickets: from the body */
};

/* One reference. As large as the largest request of the service's routes. NULL: out of memory. */
struct request *request_new(struct admin_worker *home, const struct request_engine *engine);
void request_ref(struct request *request);
void request_unref(struct request *request);

/* The bytes of the head may have moved since the connection was called last. request_begin and
 * request_execute do it. */
void request_find_head(struct request *request);

/* Checks the head and finds the route; sets `refused` if the request is refused. true: it must be
 * answered before its body arrives, and the connection is then closed. */
bool request_begin(struct request *request);

/* A piece of the body: kept, passed to the route, or discarded when the request is refused. The
 * last *inout_len bytes come again. false: too much to discard. */
MUST_CHECK bool request_take_body(struct request *request, const char *bytes, size_t *inout_len);

/* A stop waits for its answer from now on. request_execute does it. */
void request_mark_running(struct request *request);

/* The request is complete: runs its route. true: `status` is set. false: on_answered is called
 * later. */
MUST_CHECK bool request_execute(struct request *request);

/* The door's: the answer is written, or the client has gone. Ends the door's reference. */
void request_end(struct request *request);
void request_client_gone(struct request *request);

/* The door's: the client reads no answer, or may have gone. A push that waits is answered soon. */
void request_give_up(struct request *request);

/* The door's: the body is malformed or does not come. Sets `status`. */
void request_fail(struct request *request, enum err error, const char *detail);

/* Is it answered without the gateway from now on? For a stop, and at its deadline. */
void request_overdue(struct request *request);

/* Calls `add` with each field of the answer that depends on it; Content-Type is among them. */
void request_answer_fields(const struct request *request,
                           void (*add)(void *closure, const char *name, const char *value),
                           void *closure);

/* A read_more: passes on what is written to `out`. Also for routes that write more of it before. */
ptrdiff_t request_read_answer(struct request *request, char *out, size_t cap);

/* For the routes */

/* Does it come from this machine: over a unix socket, or from a loopback address? */
bool request_is_local(const struct request *request);

/* Charges `bytes` to the memory budget, given back when the request ends. false: the budget is used
 * up, and the request should be refused with ERR_BUSY. */
MUST_CHECK bool request_charge(struct request *request, size_t bytes);

/* Hands the request to the gateway: takes its reference. Call it before the gateway. */
void request_hand_over(struct request *request);
void request_done(struct request *request); /* in on_done */

/* A route that takes its body itself takes no more, until it resumes or the deadline has passed:
 * then is_late is set. */
void request_pause(struct request *request);
void request_resume(struct request *request);
void request_resume_late(struct request *request);

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

/* The first `*` of the path, decoded. false: it has a bad escape, or is longer than `cap`. */
MUST_CHECK bool request_path_name(struct request *request, char *out, size_t cap,
                                  struct span *ret_name);

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
