/* The event loop of one thread: epoll, a timer wheel, a mailbox, and a list of tasks for the end of
 * the turn.
 *
 * A reactor belongs to the thread that calls reactor_run or reactor_turn. Only that thread may call
 * these functions, except mailbox_post (mailbox.h) to reactor_mailbox, and reactor_stop. The owner
 * of a watch or a timer must not be freed inside its own callback, but in a task at the end of the
 * turn (reactor_at_turn_end). */
#ifndef HERALD_NET_REACTOR_H
#define HERALD_NET_REACTOR_H

#include "gateway/base/list.h"
#include "gateway/net/mailbox.h"
#include "gateway/net/timers.h"
#include "proto/error.h"

#include <stdint.h>

struct reactor;

/* A watched descriptor; embedded by its owner. */
struct reactor_watch {
    void (*on_ready)(struct reactor_watch *watch, uint32_t events); /* EPOLLIN, EPOLLOUT, ... */
    int fd;
    uint32_t flags; /* for the owner's use; it fills the padding */
};

/* A task that runs once at the end of the current turn; embedded. Adding it twice runs it once. */
struct reactor_task {
    struct list link; /* list_init before the first use */
    void (*run)(struct reactor_task *task);
};

MUST_CHECK enum err reactor_new(struct reactor **ret_reactor);
void reactor_free(struct reactor *reactor);

/* Runs turns until reactor_stop. A turn waits, calls watches, delivers mail, fires timers, then
 * runs the turn-end tasks until none is left. */
void reactor_run(struct reactor *reactor);
/* Runs one turn, for a caller with its own loop. It waits at most max_wait_ms for something to do;
 * -1: without a limit. */
void reactor_turn(struct reactor *reactor, int max_wait_ms);
void reactor_stop(struct reactor *reactor); /* any thread; not async-signal-safe */

/* `events` are those of epoll; the caller may add EPOLLET or EPOLLEXCLUSIVE. */
MUST_CHECK enum err reactor_watch_add(struct reactor *reactor, struct reactor_watch *watch,
                                      uint32_t events);
MUST_CHECK enum err reactor_watch_change(struct reactor *reactor, struct reactor_watch *watch,
                                         uint32_t events);
/* Afterwards the watch has no more callbacks, not even in the current turn. The owner closes the
 * descriptor after this call. */
void reactor_watch_remove(struct reactor *reactor, struct reactor_watch *watch);

void reactor_at_turn_end(struct reactor *reactor, struct reactor_task *task);
/* Adds a task for the next turn, which then does not wait. */
void reactor_in_next_turn(struct reactor *reactor, struct reactor_task *task);
/* Adds a task for the first turn in a later millisecond; timers are too coarse for that. */
void reactor_in_next_ms(struct reactor *reactor, struct reactor_task *task);
void reactor_task_cancel(struct reactor_task *task);

struct mailbox *reactor_mailbox(struct reactor *reactor);
struct timers *reactor_timers(struct reactor *reactor);
int64_t reactor_now_ms(const struct reactor *reactor); /* monotonic, read once a turn */

/* Call it if more work waits than a turn may do. At the end of this turn the reactor calls
 * sched_yield, so that other threads run first: if floods keep all cores busy, a thread that
 * accepts pushes would otherwise wait several milliseconds for a time slice to end. */
void reactor_yield(struct reactor *reactor);

/* How many turns have run; any thread. If the number does not change, the worker hangs. */
uint64_t reactor_turns(const struct reactor *reactor);

#endif
