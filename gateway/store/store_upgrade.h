/* What a store does when a process gives its sessions to the next one of the same node. A store
 * that nodes share needs none of it: both processes use it for that moment. The file store belongs
 * to one process, so it passes from one to the other:
 *
 *     old                                  new
 *     store_lock_fd, store_each_ticket     store_open with is_awaited and that lock;
 *                                          store_adopt_tickets
 *     store_let_go, when nothing goes back
 *                                          store_take_over, when old has let go or is dead
 *
 * The lock is one open file in both, so it is never free in between.
 *
 * A store that is awaited (opened, not yet taken over): tickets can be given and taken. Pages that
 * sessions ask for are answered as by a store that is away. All other requests wait, in their
 * order, up to STORE_AWAITED_MS each, and are then answered ERR_STORE_UNAVAILABLE; so are those
 * beyond STORE_MAX_AWAITING of them, or STORE_AWAITING_MAX_BYTES of their payloads and targets. It
 * says on_state for the first time when it was taken over. herald_store_awaited_total counts them.
 *
 * A store that was let go answers every request as one that is away, also for tickets. */
#ifndef HERALD_STORE_STORE_UPGRADE_H
#define HERALD_STORE_STORE_UPGRADE_H

#include "gateway/store/store_request.h"

struct store;

enum {
    STORE_AWAITED_MS = 5000,
    STORE_MAX_AWAITING = 16384,
    STORE_AWAITING_MAX_BYTES = 64 * 1024 * 1024
};

/* Can the next process go on with it? false: *why is a sentence that says why not. Any thread. */
MUST_CHECK bool store_can_be_handed_over(const struct store *store, char *why, size_t why_cap);

/* The descriptor of its lock, for store_config.lock_fd of the next process; -1: it has none. It
 * stays the store's, open until store_close, also when the store was let go. Any thread. */
int store_lock_fd(const struct store *store);

/* Finishes what was asked of it before, closes its files and keeps its lock. Returns when the files
 * are closed; of what was asked before, every on_done has run then. On no thread of the store's.
 * Nothing happens to a store that needs no letting go, or was let go. */
void store_let_go(struct store *store);

/* The files of a store that is awaited are closed by who had them: opens them, builds the index on
 * the store's own thread, and calls on_state there; then carries out what waits. If they cannot be
 * opened, the store is away, answers what waits, and tries again each second. Returns at once.
 * Nothing happens to another store. Any thread. */
void store_take_over(struct store *store);

/* Calls with each ticket that this process alone knows, at most STORE_MAX_TICKETS, in no order, on
 * the store's thread; the texts are valid within the call. Returns when it is over. On no thread of
 * the store's. */
void store_each_ticket(struct store *store, store_ticket_visit_fn *visit, void *owner);

/* Gives these tickets out; copies them. Returns when they can be taken. One that is out already, or
 * that has no time left, is left out. ERR_FULL, ERR_NO_MEMORY: some are not given out. On no thread
 * of the store's. */
MUST_CHECK enum err store_adopt_tickets(struct store *store, const struct store_ticket *tickets,
                                        size_t n_tickets);

#endif
