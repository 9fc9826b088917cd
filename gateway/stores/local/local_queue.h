/* What a local store has been asked and has not taken up yet: requests, and calls of the steps
 * between two processes. Callers add to it under a lock, and wake the store's thread if it sleeps.
 * Any thread, except where it says otherwise. For store_local.c. */
#ifndef HERALD_STORE_LOCAL_QUEUE_H
#define HERALD_STORE_LOCAL_QUEUE_H

#include "gateway/store/store_backend.h"

#include <pthread.h>
#include <time.h>

/* Something to run on the store's thread, behind the requests that were made before it. */
struct local_call {
    void (*run)(void *owner, struct local_call *call);
    struct local_call *next; /* the queue's own */
    bool is_done;            /* the same */
};

struct local_queue {
    pthread_mutex_t lock; /* of what follows; never held while a request is carried out */
    pthread_cond_t wake;
    pthread_cond_t call_done;
    struct store_request *first;
    struct store_request *last;
    struct local_call *first_call;
    bool is_asleep; /* between two turns: all is committed, reported and answered */
    bool is_closing;
};

MUST_CHECK enum err local_queue_init(struct local_queue *queue);
void local_queue_fini(struct local_queue *queue);

/* A chain of requests, as store_ops.submit. */
void local_queue_submit(struct local_queue *queue, struct store_request *first, enum store_op op);
void local_queue_call(struct local_queue *queue, struct local_call *call);

/* Waits until a call has been run: local_queue_finish. */
void local_queue_wait_done(struct local_queue *queue, struct local_call *call);

/* No more will come: wakes the thread, whose local_queue_take then answers false when all is taken.
 */
void local_queue_close(struct local_queue *queue);

/* ---- for the one thread that takes ---- */

/* Sleeps until there is something to take, or until a moment by CLOCK_MONOTONIC (NULL: there is
 * none). Are there requests, and is it not being closed? Then more of them are worth a short wait.
 */
bool local_queue_sleep(struct local_queue *queue, const struct timespec *until);

struct local_work {
    struct store_request *batch;
    struct local_call *calls; /* made behind the batch, or within it */
};

/* Takes all. false: there is nothing, and the queue is being closed. */
bool local_queue_take(struct local_queue *queue, struct local_work *ret_work);

/* Takes the requests alone. */
MUST_CHECK struct store_request *local_queue_take_requests(struct local_queue *queue);

/* A call was run; it is its caller's again. */
void local_queue_finish(struct local_queue *queue, struct local_call *call);

/* Where turns are run by hand: between two of them the store sleeps, if nothing waits. */
void local_queue_rest(struct local_queue *queue);

#endif
