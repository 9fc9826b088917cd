/* Sessions that go from the process that has them (old) to the one that goes on with them (new):
 * what session/session_carry.h does, with the way out of the client and into it. Threads: whoever
 * holds the turn of the worker. */
#ifndef HERALD_DELIVERY_CARRY_H
#define HERALD_DELIVERY_CARRY_H

#include "gateway/session/carried_session.h"
#include "gateway/session/session.h"

struct peers;

/* ---- old ---- */

/* Visits all sessions of the worker that session_is_carried, a user's oldest first: to read them
 * out, and later to let them go. `visit` may let go the session that it is given. As long as no
 * letter is delivered and no turn runs meanwhile, each time these are the same. */
void delivery_each_carried(struct worker *worker,
                           void (*visit)(struct session *session, void *argument), void *argument);

/* New has it. The session leaves its client, nothing is written to the store, and its socket is
 * closed as session_let_go does. Notifications with ttl 0 that wait for it in memory are counted as
 * dropped. All letters to the worker are delivered, so none waits in a channel. */
void delivery_let_go(struct session *session);

/* ---- new ---- */

/* The worker on which it will live: the user's home; for a stranger who names nobody the one of
 * number `any`. Any thread. */
struct worker *delivery_carried_home(const struct node *node, const struct carried_session *carried,
                                     unsigned any);

/* On that worker: makes the session, held (session_revive.h), and enters its client: from now on it
 * receives every later push, and it asks for what came since `sent`. A user's sessions are adopted
 * oldest first. No limit refuses it. `peers` are the subscriber port's. On an error the socket
 * is still the caller's: ERR_NO_MEMORY; ERR_PROTOCOL: *carried contradicts itself. */
MUST_CHECK enum err delivery_adopt(struct worker *worker, struct peers *peers,
                                   const struct carried_session *carried, int fd);

/* All sessions are adopted, and their sockets are this process's: those of this worker go on, and
 * those that were closed meanwhile tell their clients. */
void delivery_go(struct worker *worker);

#endif
