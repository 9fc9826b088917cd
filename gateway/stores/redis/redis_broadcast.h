/* Broadcasts: "B:NAME:NUMBER:data" on PREFIX:all, answered with the number of sessions. On the
 * first lane's thread. */
#ifndef HERALD_STORE_REDIS_BROADCAST_H
#define HERALD_STORE_REDIS_BROADCAST_H

#include "gateway/stores/redis/redis_asked.h"

/* Tells this node, and the others through Redis. on_done never runs inside. */
void redis_broadcast_run(struct redis_asked *asked, struct store_broadcast *broadcast);

/* A message of PREFIX:all. One of a kind that this version does not know is skipped. */
void redis_broadcast_take(struct redis_asked *asked, struct span message);

#endif
