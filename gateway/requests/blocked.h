/* A user who was blocked while sessions are open here: the request that blocked the user came to
 * another node, and what that told the others did not come. */
#ifndef HERALD_BLOCKED_H
#define HERALD_BLOCKED_H

#include "gateway/node/node.h"

/* store_events.on_blocked; owner is the node. Any thread. Closes the user's sessions (4503). */
void blocked_on_found(void *owner, struct span user_id);

#endif
