/* A lane of the Redis store: what one worker has of it. Its shards on the worker's reactor, the
 * users who are online there, and a queue through which any thread hands it requests. */
#ifndef HERALD_STORE_REDIS_LANE_H
#define HERALD_STORE_REDIS_LANE_H

#include "gateway/stores/redis/redis_common.h"

struct redis_lane;

/* Before the reactor runs. One lane of a store is the first, which asks other nodes and is freed
 * first; `first` of the others. */
MUST_CHECK enum err redis_lane_new(struct redis_common *common, struct reactor *reactor,
                                   struct redis_lane *first, struct redis_lane **ret_lane);

/* When the reactor runs no more. Answers every request that was submitted. NULL is fine. */
void redis_lane_free(struct redis_lane *lane);

/* Any thread. The requests from `first` to `last` are linked by `next`; the op of each says what it
 * is: an enum store_op, REDIS_OP_BROADCAST or REDIS_OP_ASK. */
void redis_lane_submit(struct redis_lane *lane, struct store_request *first,
                       struct store_request *last);

/* These on the lane's thread, behind what was submitted there before. */
void redis_lane_watch(struct redis_lane *lane, struct span user_id,
                      const struct store_watch *watch);
void redis_lane_answer_watch(struct redis_lane *lane, struct span user_id,
                             const struct store_watch *watch, uint64_t acked);
void redis_lane_leave(struct redis_lane *lane, struct span user_id);

#endif
