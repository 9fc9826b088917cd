/* Whether a Redis that answers takes writes too, and whether its user may do all that the scripts
 * do: `trial.lua`, when a link comes up, and each second from a refusal until it passes. While all
 * is well the first lane probes each second, with a write that changes nothing and a message that
 * nobody subscribes to, so that a node to which nothing is pushed knows as well. On the lane's
 * thread. */
#ifndef HERALD_STORE_REDIS_TRIAL_H
#define HERALD_STORE_REDIS_TRIAL_H

#include "gateway/stores/redis/redis_commands.h"

enum { REDIS_TRIAL_MS = 1000 };

struct redis_trial {
    struct redis_commands *commands;
    const char *nobody; /* stays: a user who cannot exist, encoded; of a slot of this Redis */
    bool is_first;      /* of the first lane */
    void *owner;
    void (*on_heard)(void *owner); /* what was kept meanwhile was not published; now all is */
    struct timer timer;
    bool is_under_way;
    struct redis_refusals asked;   /* when it was sent */
    struct redis_refusals settled; /* up to these all is well again */
};

/* nobody, is_first, owner and on_heard are set by the caller before. */
void redis_trial_init(struct redis_trial *trial, struct redis_commands *commands);

/* The link is up and the scripts are loaded. The answer ends in redis_commands_become_ready, and
 * from then on it goes on by itself; a replica's breaks the link. */
void redis_trial_begin(struct redis_trial *trial);

/* The link is down, or is about to be closed. */
void redis_trial_stop(struct redis_trial *trial);

#endif
