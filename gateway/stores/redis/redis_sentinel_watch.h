/* The first lane hears from the Sentinels when the primary has moved, and when one of them begins
 * to replace it; it asks all once a minute, and then for Sentinels that were not named. Without it
 * links find out by themselves, later. On the lane's thread. */
#ifndef HERALD_STORE_REDIS_SENTINEL_WATCH_H
#define HERALD_STORE_REDIS_SENTINEL_WATCH_H

#include "gateway/stores/redis/redis_sentinel_round.h"

struct redis_sentinel_watch;

MUST_CHECK enum err redis_sentinel_watch_new(struct redis_common *common, struct reactor *reactor,
                                             struct redis_sentinel_round *round,
                                             struct redis_sentinel_watch **ret_watch);
void redis_sentinel_watch_free(struct redis_sentinel_watch *watch); /* NULL is fine */

#endif
