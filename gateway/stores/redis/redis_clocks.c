#include "gateway/stores/redis/redis_clocks.h"

#include <stdlib.h>

struct redis_cluster_clock {
    struct redis_clock clock;
    struct redis_address address;
    char shown[REDIS_ADDRESS_TEXT_BYTES];
    struct redis_cluster_clock *next;
};

struct redis_clock *redis_clocks_at(struct redis_clocks *clocks,
                                    const struct redis_address *address)
{
    struct redis_cluster_clock *at = clocks->list;
    while (at != NULL && !redis_address_equal(&at->address, address))
        at = at->next;
    if (at != NULL)
        return &at->clock;
    at = calloc(1, sizeof *at);
    if (at == NULL)
        return NULL;
    at->address = *address;
    redis_address_write(address, at->shown);
    redis_clock_init(&at->clock, at->shown);
    redis_clock_join(&at->clock, clocks->first);
    at->next = clocks->list;
    clocks->list = at;
    return &at->clock;
}

void redis_clocks_give(struct redis_clocks *clocks, const struct redis_slot_map *map)
{
    struct redis_clock *owners[REDIS_PRIMARIES_MAX];
    const struct redis_address *address;
    for (unsigned i = 0; (address = redis_slot_map_address(map, i)) != NULL; i++)
        owners[i] = redis_clocks_at(clocks, address);
    for (unsigned slot = 0; slot < REDIS_SLOTS; slot++) {
        int owner = redis_slot_map_owner_at(map, (uint16_t)slot);
        struct redis_clock *former = atomic_load(&clocks->of_slot[slot]);
        if (owner < 0 || owners[owner] == NULL || owners[owner] == former)
            continue;
        if (former != NULL)
            redis_clock_guess(owners[owner], former);
        atomic_store(&clocks->of_slot[slot], owners[owner]);
    }
}

void redis_clocks_fini(struct redis_clocks *clocks)
{
    while (clocks->list != NULL) {
        struct redis_cluster_clock *at = clocks->list;
        clocks->list = at->next;
        redis_clock_fini(&at->clock);
        free(at);
    }
}
