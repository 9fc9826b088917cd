/* Questions of this node about a user: "K:NAME:NUMBER:UNTIL:reason" and "Q:NAME:NUMBER:WHAT" on the
 * user's channel, answered by each node that is subscribed to it; and about the users of one node,
 * "L:NAME:NUMBER:AFTER:LIMIT" on that node's channel. On the first lane's thread. */
#ifndef HERALD_STORE_REDIS_USER_ASK_H
#define HERALD_STORE_REDIS_USER_ASK_H

#include "gateway/stores/redis/redis_gather.h"

/* on_done never runs inside. */
void redis_user_ask_run(struct redis_gather *gather, struct store_ask *request);

#endif
