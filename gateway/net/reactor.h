/* One thread's event loop: epoll, a timer wheel, a mailbox, and a list of work for the turn's end.
 *
 * A reactor belongs to the thread that calls reactor_run or reactor_turn; every call here is for
 * that thread only, except mailbox_post (mailbox.h) to reactor_mailbox and reactor_stop. Nothing
 * that a watch or a timer belongs to may be freed inside its own callback: hand it to
 * reactor_at_turn_end first. */
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
    uint32_t flags; /* the owner's: a place that would otherwise be padding */
};

/* Work that runs once at the end of the present turn; embedded. Adding it twice is one run. */
struct reactor_task {
    struct list link; /* list_init before the first use */
    void (*run)(struct reactor_task *task);
};

MUST_CHECK enum err reactor_new(struct reactor **ret_reactor);
void reactor_free(struct reactor *reactor);

/* Runs turns until reactor_stop: waits, calls watches, delivers mail, fires timers, then runs the
 * turn-end tasks until none is left. */
void reactor_run(struct reactor *reactor);
/* One turn, for a caller with a loop of its own: waits at most max_wait_ms for something to do; -1:
 * as long as it takes. */
void reactor_turn(struct reactor *reactor, int max_wait_ms);
void reactor_stop(struct reactor *reactor); /* any thread, async-signal-safe is not promised */

/* `events` as for epoll, with EPOLLET or EPOLLEXCLUSIVE where the caller wants it. */
MUST_CHECK enum err reactor_watch_add(struct reactor *reactor, struct reactor_watch *watch,
                                      uint32_t events);
MUST_CHECK enum err reactor_watch_change(struct reactor *reactor, struct reactor_watch *watch,
                                         uint32_t events);
/* After it no more callbacks for this watch, those of the present turn included. The owner closes
 * the descriptor, and only after this call. */
void reactor_watch_remove(struct reactor *reactor, struct reactor_watch *watch);

void reactor_at_turn_end(struct reactor *reactor, struct reactor_task *task);
/* The same in the turn after this one, which does not wait for anything else. */
void reactor_in_next_turn(struct reactor *reactor, struct reactor_task *task);
/* The same once the clock has gone on by a millisecond, which timers are too coarse for. */
void reactor_in_next_ms(struct reactor *reactor, struct reactor_task *task);
void reactor_task_cancel(struct reactor_task *task);

struct mailbox *reactor_mailbox(struct reactor *reactor);
struct timers *reactor_timers(struct reactor *reactor);
int64_t reactor_now_ms(const struct reactor *reactor); /* monotonic, read once a turn */

/* More work waits than a turn may take. At the end of this turn the kernel is asked to let other
 * threads run first: where all cores are busy with floods, whoever takes pushes would otherwise
 * wait for a slice of several milliseconds to end. */
void reactor_yield(struct reactor *reactor);

/* How many turns have run; any thread. A number that stands still is a worker that hangs. */
uint64_t reactor_turns(const struct reactor *reactor);

#endif
