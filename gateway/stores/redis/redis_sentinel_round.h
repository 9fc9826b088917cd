/* A lane asks the Sentinels where the primary is: all at once, over connections that end with the
 * round, and for REDIS_SENTINELS_MS at most. Who asks while a round runs hears its result. On the
 * lane's thread. */
#ifndef HERALD_STORE_REDIS_SENTINEL_ROUND_H
#define HERALD_STORE_REDIS_SENTINEL_ROUND_H

#include "gateway/stores/redis/redis_common.h"
#include "gateway/stores/redis/redis_resolver.h"

enum { REDIS_SENTINELS_MS = 500 };

struct redis_sentinel_round;

MUST_CHECK enum err redis_sentinel_round_new(struct redis_common *common, struct reactor *reactor,
                                             struct redis_sentinel_round **ret_round);
/* After the links that ask it. NULL is fine. */
void redis_sentinel_round_free(struct redis_sentinel_round *round);

/* For the links of the store. */
struct redis_resolver *redis_sentinel_round_resolver(struct redis_sentinel_round *round);

/* Asks, though no link does: links that are at another address than the one that is found leave it.
 * with_others: asks for Sentinels that were not named, too. */
void redis_sentinel_round_look(struct redis_sentinel_round *round, bool with_others);

#endif
