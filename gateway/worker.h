/* A worker: one thread with its reactor, and the sessions whose home it is. Everything in it
 * belongs to that thread, except what node.h and the mailbox say. */
#ifndef HERALD_WORKER_H
#define HERALD_WORKER_H

#include "gateway/grave.h"
#include "gateway/net/conn.h"
#include "gateway/node.h"
#include "gateway/user_agents.h"

#include <pthread.h>

struct front;

enum { POSITION_SLOTS = 16, POSITION_SLOT_MS = 64, WAIT_BUCKETS = 64 };

struct worker {
    struct node *node;
    unsigned index;
    pthread_t thread;
    struct reactor *reactor;
    struct conn_loop loop;
    struct timer heartbeat; /* every second: positions are written, liveness is shown */
    struct list closing;    /* sessions that wait for the end of their connection */
    struct list strangers;  /* sessions whose first message will say who they are */
    struct grave *graves;
    struct reactor_task bury;
    struct front *front;                     /* accepting (front.c) */
    struct client *unstored[POSITION_SLOTS]; /* positions to be written, by when (positions.c) */
    struct timer unstored_timer;
    unsigned unstored_slot; /* the one that is written next */
    unsigned n_unstored;
    unsigned n_pages;                /* under way (replay.c) */
    bool has_waiting;                /* sessions wait for the store (replay.c) */
    bool has_drained;                /* its sessions know when to go (gateway.c) */
    struct list waits[WAIT_BUCKETS]; /* pushes that wait, by their user (waits.c) */
    struct list kicks;               /* event streams that must not come back (kicks.c) */
    unsigned n_kicks;
    struct user_agents agents;
    uint64_t random;
    atomic_int_fast64_t seen_ms; /* the last heartbeat, for liveness; read by any thread */
    void (*on_second)(struct worker *worker);
};

MUST_CHECK enum err worker_new(struct node *node, unsigned index,
                               void (*on_second)(struct worker *worker),
                               struct worker **ret_worker);
MUST_CHECK enum err worker_start(struct worker *worker);
void worker_stop(struct worker *worker); /* from outside: ends the thread and joins it */
void worker_free(struct worker *worker);

/* Frees it at the end of the turn. */
void worker_bury(struct worker *worker, struct grave *grave, void (*free_it)(struct grave *grave));

/* For spreading, not for secrets. */
uint64_t worker_random(struct worker *worker);

static inline struct mailbox *worker_mailbox(struct worker *worker)
{
    return reactor_mailbox(worker->reactor);
}

static inline int64_t worker_now_ms(const struct worker *worker)
{
    return reactor_now_ms(worker->reactor);
}

#endif
