/* memory: an inbox as long as the process lives. Notifications are kept by reference. */
#ifndef HERALD_STORE_STORE_MEMORY_H
#define HERALD_STORE_STORE_MEMORY_H

#include "gateway/stores/local/store_local.h"

/* As store_open. */
MUST_CHECK enum err store_memory_open(const struct store_config *config, struct store **ret_store,
                                      char *why, size_t why_cap);

/* For simulations: without a thread, on a clock of the caller's; store_local_turn runs it. Time may
 * be set at will between turns; what expires leaves in the turns that follow. */
MUST_CHECK enum err store_memory_open_unthreaded(const struct store_config *config,
                                                 struct store_clock clock,
                                                 struct store **ret_store);

#endif
