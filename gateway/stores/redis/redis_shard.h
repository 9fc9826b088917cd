/* A shard of the store: one Redis that takes writes, as a lane sees it. A command link with its
 * trial, and a subscription link; it is up when both are ready. Where answers wait for replicas, a
 * third link does. On the lane's thread. */
#ifndef HERALD_STORE_REDIS_SHARD_H
#define HERALD_STORE_REDIS_SHARD_H

#include "gateway/stores/redis/redis_commands.h"
#include "gateway/stores/redis/redis_replicas.h"
#include "gateway/stores/redis/redis_sub_link.h"
#include "gateway/stores/redis/redis_trial.h"

struct redis_subs;

enum { REDIS_NOBODY_MAX_BYTES = 16 };

struct redis_shard {
    uint16_t index;                /* in its lane */
    struct redis_primary *primary; /* NULL: of the slots that no primary has; it is never up */
    char nobody[REDIS_NOBODY_MAX_BYTES]; /* a user who cannot exist, of a slot of this shard */
    bool is_used;                        /* a slot is here, or all are */
    int64_t unused_ms;                   /* since when it is not, or the last ASK */
    struct redis_commands commands;
    struct redis_replicas replicas;
    struct redis_trial trial;
    struct redis_sub_link sub_link;
    struct redis_subs *subs; /* whose users are subscribed here (redis_subs_attach) */
    bool is_up;
    void *owner;
    void (*on_up)(struct redis_shard *shard);
    void (*on_down)(struct redis_shard *shard); /* it was up */
    /* What was kept meanwhile was not published; what is kept from now on is. */
    void (*on_heard)(struct redis_shard *shard);
};

/* After redis_subs_attach. The owner, the primary, the callbacks, commands.repeats, and on_plain of
 * sub_link are set by the caller before; fini leaves the primary. is_first: it is the first lane's,
 * which probes while all is well. */
MUST_CHECK enum err redis_shard_init(struct redis_shard *shard, struct redis_common *common,
                                     struct reactor *reactor, bool is_first);
/* Answers what is under way. Afterwards nothing waits at sub_link, and no callback comes. */
void redis_shard_fini(struct redis_shard *shard);

/* Looks whether the shard is up, and calls on_up or on_down when that has changed. To be called
 * when sub_link has become ready or is lost; for the commands the shard does it. */
void redis_shard_review(struct redis_shard *shard);

#endif
