/* The registry of the requests that wait for the gateway, and the stop of the admin API.
 *
 * libmicrohttpd has no timeout for a suspended connection and must not be stopped while there is
 * one. Therefore suspended requests are registered here with a deadline, and a thread of the
 * registry resumes the overdue ones. The library also stops without answering what it has read.
 * Therefore connections and requests are counted here, and a stop waits for them.
 *
 * Threads: pending_done, pending_request_ref and pending_request_unref from any thread; everything
 * else from the daemon's thread, except pending_start, pending_stop and pending_fini. Lock: `lock`
 * guards the registry's members and the state of each request. No function of an owner is called
 * under it. */
#ifndef HERALD_ADMIN_PENDING_H
#define HERALD_ADMIN_PENDING_H

#include "gateway/base/list.h"
#include "proto/error.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { PENDING_DEADLINE_MS = 30000 }; /* in addition to the time that the request asks to wait */

struct pending {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t thread;
    struct list suspended;  /* unsorted: there are at most as many as connections */
    unsigned n_connections; /* open ones, and those on their way to the daemon */
    unsigned n_handed_over; /* of these, on their way */
    unsigned n_requests;    /* from their head to their written answer */
    unsigned n_running;     /* of these, complete ones */
    int64_t active_ms;      /* when one of these numbers last changed */
    bool is_stopping;
    bool has_given_up; /* a request that would wait from here on is overdue at once */
    bool is_ended;
};

enum pending_state {
    PENDING_READING,   /* the body arrives */
    PENDING_WORKING,   /* the gateway has it, and the daemon's thread may still be in the call */
    PENDING_SUSPENDED, /* the gateway has it, and the connection waits in the registry */
    PENDING_DONE,      /* the gateway has answered */
    PENDING_OVERDUE,   /* the deadline has passed, or Herald stops: answered without the gateway */
};

struct pending_request;

/* What the owner of a request does for the registry. */
struct pending_owner {
    void (*suspend)(struct pending_request *request); /* the daemon's thread */
    void (*resume)(struct pending_request *request);  /* any thread; the daemon's follows it up */
    void (*free)(struct pending_request *request);    /* the last reference is gone; any thread */
};

/* One request as the registry sees it, embedded in its owner and counted. */
struct pending_request {
    struct pending *pending;
    const struct pending_owner *owner;
    atomic_uint refs;
    int fd;                   /* the connection's */
    enum pending_state state; /* from WORKING on under the registry's lock */
    bool is_running;          /* counted in n_running, until its answer is written */
    uint32_t wait_ms;         /* the gateway may take this long before the deadline's time begins */
    /* Not NULL: the gateway waits on behalf of the client, and this makes it answer when the client
     * has hung up. Called once, by the registry's thread. */
    void (*give_up)(struct pending_request *request);
    bool is_given_up;
    int64_t deadline_ms;
    struct list link; /* in `suspended` while SUSPENDED */
};

/* The registry without its thread, for tests that call pending_look themselves. */
void pending_init(struct pending *pending);
/* The same with its thread. ERR_SYSTEM: there is none, and the registry is not initialised. */
MUST_CHECK enum err pending_start(struct pending *pending);
void pending_fini(struct pending *pending); /* after pending_stop, if it was started */

/* What the thread does twice a second: resumes the requests whose deadline is at most `now_ms`, and
 * gives up those whose client has hung up. */
void pending_look(struct pending *pending, int64_t now_ms);

/* One reference. The registry must outlive the request. */
void pending_request_init(struct pending_request *request, struct pending *pending,
                          const struct pending_owner *owner, int fd);
void pending_request_ref(struct pending_request *request);
void pending_request_unref(struct pending_request *request);

/* Before the gateway gets the request. */
void pending_working(struct pending_request *request);

/* After the gateway's call has returned. true: the answer is there already. false: the connection
 * is suspended, and the daemon calls again. */
MUST_CHECK bool pending_wait(struct pending_request *request);

/* on_done: the answer is there. Any thread. Resumes the connection if it was suspended. */
void pending_done(struct pending_request *request);

/* false: the deadline came first, and the gateway may still write to the request. */
MUST_CHECK bool pending_is_done(struct pending_request *request);

/* A connection is about to be given to the daemon, which did not accept it itself. */
void pending_hand_over(struct pending *pending);

/* The daemon has begun a connection, or ended it. */
void pending_connected(struct pending *pending);
void pending_disconnected(struct pending *pending);

/* The request's head is there. */
void pending_begin(struct pending_request *request);

/* The request is complete. false: Herald stops, and the request must be refused, because its answer
 * might not be sent any more. */
MUST_CHECK bool pending_enter(struct pending_request *request);

/* The answer is written, or the connection has ended. */
void pending_leave(struct pending_request *request);

bool pending_is_stopping(struct pending *pending);

/* From now on every request is refused, and every answer closes its connection. Waits until the
 * running requests are answered and makes the rest overdue; then waits briefly until the clients
 * have read in an answer that the connection closes. Ends the thread. The caller has made sure that
 * no new connection is accepted. */
void pending_stop(struct pending *pending);

#endif
