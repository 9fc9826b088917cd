/* The requests that wait for the gateway. libmicrohttpd has no timeout for a suspended connection
 * and must not be stopped while there is one, so they are registered here with a deadline, and a
 * thread of its own resumes the overdue ones. Lock: `lock` guards the members and each registered
 * request's state. Nothing is called out to under it. */
#ifndef HERALD_ADMIN_PENDING_H
#define HERALD_ADMIN_PENDING_H

#include "gateway/base/list.h"
#include "proto/error.h"

#include <pthread.h>
#include <stdint.h>

enum { PENDING_DEADLINE_MS = 30000 };

struct request;

struct pending {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t thread;
    struct list suspended; /* by deadline, which all have the same */
    unsigned n_running;    /* complete requests whose answer is not yet written */
    bool is_stopping;
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

/* From the complete request to its written answer. */
void pending_enter(struct request *request);
void pending_leave(struct request *request);

bool pending_is_stopping(struct pending *pending);

/* Waits until what runs is answered, then makes the rest overdue; ends the thread. No request comes
 * in any more but on connections that are open. */
void pending_stop(struct pending *pending);

#endif
