/* Notifications that are kept nowhere: "E:TIME:LENGTH:data" on the channel of each user. On the
 * lane's thread. */
#ifndef HERALD_STORE_REDIS_SEND_H
#define HERALD_STORE_REDIS_SEND_H

#include "gateway/stores/redis/redis_shard.h"

/* One SPUBLISH for each target, at his shard; ERR_STORE_UNAVAILABLE where that takes no commands.
 * Where this node wants to be subscribed and is not, it does not hear it (is_unheard); who comes
 * later than the send may have it from Redis, or not. on_done runs when the last
 * has its answer, never inside. */
void redis_send_run(void *owner, struct redis_shard *(*shard_of)(void *owner, struct span user_id),
                    struct store_append *send);

#endif
