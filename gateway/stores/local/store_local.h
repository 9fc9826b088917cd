/* What memory: and file: share: the thread that carries out requests, and their queue. The backing
 * says where the records are kept (local_core.h). For store_memory.c, store_file.c and tests. */
#ifndef HERALD_STORE_STORE_LOCAL_H
#define HERALD_STORE_STORE_LOCAL_H

#include "gateway/store/store_backend.h"
#include "gateway/stores/local/local_core.h"

/* Takes over the backing and the index that it filled, also when it fails. With a clock of NULL a
 * thread runs the store on the wall clock; else the caller runs it with store_local_turn. */
MUST_CHECK enum err store_local_open(const struct store_config *config,
                                     const struct store_clock *clock, struct backing *backing,
                                     struct local_index index, struct store **ret_store);

/* Carries out and answers all requests that wait, those included that are made meanwhile, and what
 * is due by time; answers how many batches that took. On one thread at a time; for a store that was
 * opened with a clock. */
size_t store_local_turn(struct store *store);

/* For simulations, between turns: as if the disk were full, or were no longer. The store then finds
 * out by itself within STORE_RETRY_MS of its clock that it can be written again. */
void store_local_set_full(struct store *store, bool is_full);

/* For tests, between turns: what the store has in memory. */
const struct local_index *store_local_index(struct store *store);

#endif
