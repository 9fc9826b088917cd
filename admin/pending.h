/* The requests that wait for the gateway, and the stop. libmicrohttpd has no timeout for a
 * suspended connection and must not be stopped while there is one, so they are registered here with
 * a deadline, and a thread of its own resumes the overdue ones. It also stops without answering
 * what it has read, so connections and requests are counted here, and a stop waits for them. Lock:
 * `lock` guards the members and each registered request's state. Nothing is called out to under it.
 */
#ifndef HERALD_ADMIN_PENDING_H
#define HERALD_ADMIN_PENDING_H

#include "gateway/base/list.h"
#include "proto/error.h"

#include <pthread.h>
#include <stdint.h>

enum { PENDING_DEADLINE_MS = 30000 }; /* behind what the request itself asks to wait */

struct request;

struct pending {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t thread;
    struct list suspended;  /* in no order: they are as few as the connections */
    unsigned n_connections; /* open ones, and those on their way to the daemon */
    unsigned n_handed_over; /* of these, on their way */
    unsigned n_requests;    /* from their head to their written answer */
    unsigned n_running;     /* of these, complete ones */
    int64_t active_ms;      /* when one of these numbers last changed */
    bool is_stopping;
    bool has_given_up; /* whoever would wait from here on is overdue at once */
    bool is_ended;
};

MUST_CHECK enum err pending_start(struct pending *pending); /* ERR_SYSTEM */
void pending_fini(struct pending *pending);                 /* after pending_stop */

/* Before the gateway gets the request. */
void pending_working(struct request *request);

/* After the gateway's call has returned. true: the answer is there already. false: the connection
 * is suspended, and the daemon calls again. */
MUST_CHECK bool pending_wait(struct request *request);

/* on_done: the answer is there. Any thread. Resumes the connection if it was suspended. */
void pending_done(struct request *request);

/* false: the deadline came first, and the gateway may still write to the request's work. */
MUST_CHECK bool pending_is_done(struct request *request);

/* A connection that the daemon is given, not one that it accepts itself: before it is given. */
void pending_hand_over(struct pending *pending);

/* The daemon has begun a connection, or ended it. */
void pending_connected(struct pending *pending);
void pending_disconnected(struct pending *pending);

/* The request's head is there. */
void pending_begin(struct request *request);

/* The request is complete. false: Herald stops, and the request must be refused: what is executed
 * from now on might not be answered any more. */
MUST_CHECK bool pending_enter(struct request *request);

/* The answer is written, or the connection has ended. */
void pending_leave(struct request *request);

bool pending_is_stopping(struct pending *pending);

/* From now on every request is refused and every answer is its connection's last. Waits until what
 * runs is answered and makes the rest overdue; then, for a moment, until the clients have read in
 * an answer that they should go. Ends the thread. No new connection comes in any more. */
void pending_stop(struct pending *pending);

#endif
