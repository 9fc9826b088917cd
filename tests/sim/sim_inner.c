#include "tests/sim/sim_inner.h"

#include "gateway/stores/memory/store_memory.h"

enum err sim_inner_open(const struct store_config *config, int64_t (*now_ms)(void *owner),
                        struct store **ret_store)
{
    struct store_clock clock = {now_ms, config->owner};
    return store_memory_open_unthreaded(config, clock, ret_store);
}

void sim_inner_turn(struct store *store)
{
    store_local_turn(store);
}

void sim_inner_set_full(struct store *store, bool is_full)
{
    store_local_set_full(store, is_full);
}
