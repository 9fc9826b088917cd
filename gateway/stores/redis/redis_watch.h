/* Pushes of one node that wait for acknowledgements on another: "Y:NAME:NUMBER:EPOCH:SEQ:" on the
 * user's channel, and "A:NUMBER:EPOCH:SEQ" on the reply channel of NAME, the node that waits.
 * Neither is awaited. On a lane's thread. */
#ifndef HERALD_STORE_REDIS_WATCH_H
#define HERALD_STORE_REDIS_WATCH_H

#include "gateway/stores/redis/redis_gather.h"

void redis_watch_send(struct redis_commands *commands, const struct epoch *name,
                      struct span user_id, const struct store_watch *watch);
/* `commands` are those of the reply channel of watch->node (redis_gather_name_channel). Who is sent
 * to look (acked 0) is sent behind what those of the user were sent before. */
void redis_watch_answer(struct redis_commands *of_user, struct redis_commands *commands,
                        const struct store_watch *watch, uint64_t acked);

/* Messages that have come. One of this node itself is skipped, and what is malformed. */
void redis_watch_take(const struct redis_gather *gather, struct span user_id, struct span message);
void redis_watch_take_answer(const struct redis_common *common, struct span message);

#endif
