/* An append: one push.lua for each of its targets. On the lane's thread. */
#ifndef HERALD_STORE_REDIS_PUSH_H
#define HERALD_STORE_REDIS_PUSH_H

#include "gateway/stores/redis/redis_commands.h"

/* on_done runs when the last target has its answer, never inside this call. */
void redis_push_run(struct redis_commands *commands, struct store_append *append);

#endif
