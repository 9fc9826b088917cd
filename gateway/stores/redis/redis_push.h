/* Appends: push.lua for each of their targets, and one call for many targets that come together. On
 * the lane's thread. */
#ifndef HERALD_STORE_REDIS_PUSH_H
#define HERALD_STORE_REDIS_PUSH_H

#include "gateway/stores/redis/redis_commands.h"

/* Sends its targets, each to the commands of its user, or gathers them there: redis_push_flush is
 * due before anything else is sent there, and when no more requests come. on_done runs when the
 * last target has its answer, never inside this call. */
void redis_push_run(const struct redis_route *route, struct store_append *append);

/* Sends what was gathered; on_done never runs inside this call. */
void redis_push_flush(struct redis_commands *commands);

#endif
