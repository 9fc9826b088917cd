/* What a node knows of its Sentinels, and of the primary that they watch: shared by all lanes. Any
 * thread.
 *
 * A Sentinel that was away may still name an old primary, and so may that primary itself for some
 * seconds. Each failover has a number, the config-epoch, which only grows; so of several answers
 * that with the highest epoch counts, and none below the highest that this node has ever seen. */
#ifndef HERALD_STORE_REDIS_SENTINELS_H
#define HERALD_STORE_REDIS_SENTINELS_H

#include "gateway/stores/redis/redis_address.h"
#include "gateway/stores/redis/redis_url.h"

#include <pthread.h>

enum { REDIS_SENTINELS_MAX = 32, REDIS_REPLACED_MAX_MS = 10000 };

struct redis_sentinel_list {
    unsigned n;
    struct redis_address addresses[REDIS_SENTINELS_MAX];
};

/* What one Sentinel says. */
struct redis_sentinel_says {
    uint64_t epoch;
    struct redis_address primary;
    bool is_replaced; /* by a failover that it leads, and that has not come to another one yet */
};

struct redis_sentinels {
    pthread_mutex_t lock; /* for all below */
    struct redis_sentinel_list known;
    bool has_primary;
    struct redis_sentinel_says latest; /* has_primary: what is believed now */
    bool is_replaced;                  /* nobody is the primary, as long as that is believed */
    int64_t replaced_ms;               /* since when some Sentinel says so; 0: none does */
};

/* The hosts of the url, in an order drawn at random. */
void redis_sentinels_init(struct redis_sentinels *sentinels, const struct redis_url *url);
void redis_sentinels_fini(struct redis_sentinels *sentinels);

void redis_sentinels_list(struct redis_sentinels *sentinels, struct redis_sentinel_list *ret_list);
/* One that was not named; too many are ignored. */
void redis_sentinels_add(struct redis_sentinels *sentinels, const struct redis_address *address);
/* It comes first from now on. */
void redis_sentinels_answered(struct redis_sentinels *sentinels,
                              const struct redis_address *address);

/* The answer that counts of n > 0: the highest epoch, and of several addresses with that the one
 * that most Sentinels name. Pure. */
const struct redis_sentinel_says *redis_sentinels_choose(const struct redis_sentinel_says *says,
                                                         size_t n);

enum redis_belief {
    REDIS_BELIEF_OLDER, /* an older primary than the one that is known; nothing changes */
    REDIS_BELIEF_SAME,  /* it is where it was; or it is the first that is known */
    REDIS_BELIEF_OTHER, /* it has moved */
};
MUST_CHECK enum redis_belief redis_sentinels_believe(struct redis_sentinels *sentinels,
                                                     const struct redis_sentinel_says *says);
/* All have been asked, at now_ms: whether one of them leads a failover of what is the primary yet.
 * What that primary takes from then on may be lost, so nobody writes there until there is another
 * one, or the failover is given up. Answers whether that is believed: for REDIS_REPLACED_MAX_MS
 * without a pause, or a Sentinel that errs would keep the store away. */
MUST_CHECK bool redis_sentinels_replace(struct redis_sentinels *sentinels, bool is_replaced,
                                        int64_t now_ms);
/* Is the primary known to be at another address, or about to be? */
bool redis_sentinels_have_moved(struct redis_sentinels *sentinels,
                                const struct redis_address *address);

#endif
