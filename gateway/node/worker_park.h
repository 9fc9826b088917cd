/* The world stops: every worker's thread waits inside a turn of its own, and one other thread may
 * do with all workers what their threads may do. */
#ifndef HERALD_WORKER_PARK_H
#define HERALD_WORKER_PARK_H

#include "gateway/node/worker.h"

struct worker_park;

/* Returns when no worker's thread runs any more: nothing is read, written, or fired by a timer.
 * What was posted and is not delivered waits; workers_deliver delivers it. The caller is no
 * worker's thread, and holds no turn until worker_be_here. One at a time. ERR_NO_MEMORY. */
MUST_CHECK enum err workers_park(struct node *node, struct worker_park **ret_park);

/* While they are parked: delivers all letters to all workers on this thread, also those that are
 * posted by it, each in its receiver's turn. */
void workers_deliver(struct worker_park *park);

/* Calls it for each worker, in that worker's turn. */
void workers_parked_each(struct worker_park *park,
                         void (*run)(struct worker *worker, void *argument), void *argument);

/* The threads go on where they were. */
void workers_unpark(struct worker_park *park);

/* As worker_run_on_all, but on all workers at the same time; without memory for that, on one after
 * the other. */
void workers_run_at_once(struct node *node, void (*run)(struct worker *worker, void *argument),
                         void *argument);

#endif
