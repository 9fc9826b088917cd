/* Which users are online: Redis counts the subscribers of their channels, and no node is asked. On
 * the lane's thread. */
#ifndef HERALD_STORE_REDIS_ONLINE_H
#define HERALD_STORE_REDIS_ONLINE_H

#include "gateway/stores/redis/redis_shard.h"

/* Each is asked about at his shard. on_done never runs inside. */
void redis_online_run(void *owner,
                      struct redis_shard *(*shard_of)(void *owner, struct span user_id),
                      struct store_online *online);

#endif
