/* The event loop of one thread: epoll, a timer wheel, a mailbox, and a list of tasks for the end of
 * the turn.
 *
 * A reactor, and all that its callbacks touch, belongs to whoever holds its turn. That is a mutex:
 * the thread in reactor_run holds it always, except while it waits for events. Meanwhile another
 * reactor's thread may visit it, that is, deliver its mail in its place, which spares the wake-up.
 * Inside a turn or a visit every function here may be called; outside only mailbox_post (mailbox.h)
 * to reactor_mailbox, reactor_turns and reactor_stop. Before reactor_run and after it, the reactor
 * belongs to its owner, who runs single turns with reactor_turn or none; it is not visited then.
 *
 * The owner of a watch or a timer must not be freed inside its own callback, but in a task at the
 * end of the turn: one with a watch by reactor_free_at_turn_end. */
#ifndef HERALD_NET_REACTOR_H
#define HERALD_NET_REACTOR_H

#include "gateway/base/list.h"
#include "gateway/net/mailbox.h"
#include "gateway/net/timers.h"
#include "proto/error.h"

#include <stdbool.h>
#include <stdint.h>

enum { VISIT_LETTERS = 16 };

struct reactor;

/* A watched descriptor; embedded by its owner. */
struct reactor_watch {
    void (*on_ready)(struct reactor_watch *watch, uint32_t events); /* EPOLLIN, EPOLLOUT, ... */
    int fd;
    uint16_t flags; /* for the owner's use; it fills the padding */
    bool is_removed;
};

/* A task that runs once at the end of the current turn, or of the visit; embedded. Adding it twice
 * runs it once. */
struct reactor_task {
    struct list link; /* list_init before the first use */
    void (*run)(struct reactor_task *task);
};

/* `owner` is what reactor_owner returns. */
MUST_CHECK enum err reactor_new(void *owner, struct reactor **ret_reactor);
void reactor_free(struct reactor *reactor);
void *reactor_owner(const struct reactor *reactor);

/* Runs turns until reactor_stop. A turn waits, calls watches, delivers mail, fires timers, then
 * runs the turn-end tasks until none is left.
 *
 * A turn with few events does not wake sleeping reactors for the letters that it posts, but visits
 * them: before its own turn-end tasks, and once more after them. A visit delivers at most
 * VISIT_LETTERS letters, runs the turn-end tasks, and counts as a turn. It calls no watch and fires
 * no timer; what it leaves behind for the reactor's own thread wakes it. Letters that the visited
 * reactor sends back are delivered in the same turn. */
void reactor_run(struct reactor *reactor);

/* The reactor whose turn this thread holds, in reactor_run or for a visit. NULL: none. */
struct reactor *reactor_here(void);
/* From now on it counts as held by this thread; for tests, which run no reactor. NULL: none is. */
void reactor_be_here(struct reactor *reactor);
/* Is this a visit? Then the reactor's thread may have an event in its hands already, for a watch
 * that is removed now: the memory of a watch must stay until the thread's own turn. */
bool reactor_is_visited(const struct reactor *reactor);
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
 * descriptor after this call. It may be added again, but not in a visit if it was removed in
 * one. */
void reactor_watch_remove(struct reactor *reactor, struct reactor_watch *watch);

void reactor_at_turn_end(struct reactor *reactor, struct reactor_task *task);
/* Adds a task that runs after all of those, at the end of the present turn, or if this is a visit,
 * of the next turn. Whatever has a watch in it may be freed there. */
void reactor_free_at_turn_end(struct reactor *reactor, struct reactor_task *task);
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
