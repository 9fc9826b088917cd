/* Whether a Redis that answers takes writes too, and whether its user may do all that the scripts
 * do: `trial.lua`, when a link comes up, and each second from a refusal until it passes. While all
 * is well the first lane asks each second, with a write that changes nothing and a message that
 * nobody hears, so that a node to which nothing is pushed knows as well. On the lane's thread. */
#ifndef HERALD_STORE_REDIS_TRIAL_H
#define HERALD_STORE_REDIS_TRIAL_H

#include "gateway/stores/redis/redis_commands.h"

enum { REDIS_TRIAL_MS = 1000 };

void redis_trial_init(struct redis_commands *commands);

/* The link is up and the scripts are loaded. The answer ends in redis_commands_become_ready, and
 * from then on it goes on by itself; a replica's breaks the link. */
void redis_trial_begin(struct redis_commands *commands);

/* The link is down. */
void redis_trial_stop(struct redis_commands *commands);

#endif
