/* What a drain does to one session. Its parts in drain.c and drain_ask.c. */
#ifndef HERALD_REQUESTS_DRAIN_PLAN_H
#define HERALD_REQUESTS_DRAIN_PLAN_H

#include "gateway/node/worker.h"

#include <pthread.h>

struct drain_plan {
    uint64_t number; /* each plan has another */
    enum drain_kind kind;
    int64_t begins_ms; /* monotonic; within these all are closed */
    int64_t ends_ms;
    uint64_t last_id;   /* SOME: sessions up to this id */
    bool keeps_moments; /* a moment within it that a session has been told of stays */
    bool has_own_walk;  /* gateway_drain goes through the clients by itself */
};

/* One way through the clients of a worker, on its thread, in slices. */
struct drain_walk {
    struct letter letter;
    struct worker *worker;
    struct drain_plan plan;
    const uint64_t
        *ids; /* of the sessions that it closes, the longest connected first; NULL: any */
    size_t n_ids;
    uint64_t n_closing; /* that have a moment now */
    uint64_t cursor;
    bool is_under_way;
    void (*on_end)(struct drain_walk *walk); /* may be NULL */
};

/* Begins the walk, or begins it anew. It ends early when another plan has come. */
void drain_walk_begin(struct drain_walk *walk, const struct drain_plan *plan);

struct drains {
    pthread_mutex_t lock; /* for these four */
    struct drain_plan plan;
    bool is_ending;              /* SIGTERM has come */
    int64_t announced_ms;        /* monotonic, while is_draining: since when */
    atomic_uint_fast64_t number; /* of the plan; changed under the lock */
    struct node *node;
    struct drain_walk walks[]; /* of plans without a walk of their own, by the worker's index */
};

/* Under the lock: this plan is the one that counts from now on. Fills in its number. */
void drain_set_plan(struct drains *drains, struct drain_plan *plan);
/* Under the lock: the node is draining, or no longer. */
void drain_set_draining(struct drains *drains, bool is_draining);

#endif
