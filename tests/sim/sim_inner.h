/* The memory store's twin, apart from the rest: the inside of a store and the inside of the node
 * are never looked at by one file. */
#ifndef HERALD_TESTS_SIM_INNER_H
#define HERALD_TESTS_SIM_INNER_H

#include "gateway/store/store.h"

MUST_CHECK enum err sim_inner_open(const struct store_config *config,
                                   int64_t (*now_ms)(void *owner), struct store **ret_store);
void sim_inner_turn(struct store *store);
void sim_inner_set_full(struct store *store, bool is_full);

#endif
