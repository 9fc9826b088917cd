/* Whether the subscription link of a shard still brings what is published: one that has brought
 * nothing for REDIS_PROBE_QUIET_MS gets a message of its own, `P:`, on the channel of a user whom
 * it has subscribed. Redis says how many subscriptions got it. If none did, or nothing has come on
 * the link REDIS_PROBE_WAIT_MS after that answer, the link is broken, and all its users are
 * subscribed anew. An answer that does not come is the command link's matter.
 *
 * Without users nothing is probed, because there is nobody who could miss something. Nodes that
 * have the same user hear the message too, and skip it. On the lane's thread. */
#ifndef HERALD_STORE_REDIS_PROBE_H
#define HERALD_STORE_REDIS_PROBE_H

#include "gateway/stores/redis/redis_shard.h"
#include "gateway/stores/redis/redis_sub.h"

enum {
    REDIS_PROBE_TICK_MS = 1000,
    REDIS_PROBE_QUIET_MS = 10000,
    REDIS_PROBE_WAIT_MS = 2000,
};

struct redis_probe {
    struct redis_shard *shard;
    struct timer timer;
    struct redis_sub *sub; /* held while a probe is under way; NULL: none is */
    bool is_answered;
    int64_t sent_ms;
    int64_t answered_ms;
};

/* After redis_shard_init; fini before redis_subs_fini: what is answered later is dropped. */
void redis_probe_init(struct redis_probe *probe, struct redis_shard *shard);
void redis_probe_fini(struct redis_probe *probe);

#endif
