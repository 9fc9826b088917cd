/* Closes the sessions of users who are kicked. While a process makes sessions of another one's
 * (delivery_carry.h) a user's sessions come one by one, so a kick waits until all of them are
 * there. Home worker's thread. */
#ifndef HERALD_KICKS_H
#define HERALD_KICKS_H

#include "gateway/session/session.h"

/* Closes all sessions of the user with ERR_KICKED, and remembers the event streams among them
 * (kicked_streams.h). Where sessions are held, kicks_carry_out does it; out of memory, those that
 * are there are closed now. */
void kicks_close(struct client *client, struct span reason);

/* All sessions of the worker's users are there. */
void kicks_carry_out(struct worker *worker);

/* Forgets the kicks that wait. */
void kicks_free(struct worker *worker);

#endif
