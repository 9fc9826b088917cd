/* The clocks of the primaries of a Cluster (redis_clock.h), by address and by slot. One that was
 * met stays until all of them end, so any thread may hold it. One thread at a time, but for
 * redis_clocks_of. */
#ifndef HERALD_STORE_REDIS_CLOCKS_H
#define HERALD_STORE_REDIS_CLOCKS_H

#include "gateway/stores/redis/redis_clock.h"
#include "gateway/stores/redis/redis_slots.h"

struct redis_clocks {
    struct redis_clock *first; /* of the store (redis_clock_join); set by the caller */
    struct redis_cluster_clock *list;
    _Atomic(struct redis_clock *) of_slot[REDIS_SLOTS];
};

/* All else is zero at the start. */
void redis_clocks_fini(struct redis_clocks *clocks);

/* NULL: no memory. */
struct redis_clock *redis_clocks_at(struct redis_clocks *clocks,
                                    const struct redis_address *address);

/* Each slot gets the clock of its owner; one that nobody has keeps the clock that it had. A primary
 * that is new, a replica until now, is taken to have the time of the one before until it has told
 * its own. */
void redis_clocks_give(struct redis_clocks *clocks, const struct redis_slot_map *map);

/* Of the primary that has the slot, or had it last; NULL: none had. Any thread. */
static inline const struct redis_clock *redis_clocks_of(const struct redis_clocks *clocks,
                                                        uint16_t slot)
{
    return atomic_load_explicit(&clocks->of_slot[slot], memory_order_acquire);
}

#endif
