/* Blocks and tickets of the local stores. For the local_*.c files; for one thread at a time. */
#ifndef HERALD_STORE_LOCAL_BLOCKS_H
#define HERALD_STORE_LOCAL_BLOCKS_H

#include "gateway/stores/local/local_state.h"

/* 0: not blocked. */
int64_t local_blocked_until(const struct local_state *state, struct span user_id, int64_t now_ms);

/* The group is kept: what it lifted leaves the index. */
void local_blocks_committed(struct local_state *state);

/* Drops what is over. */
void local_sweep_blocks(struct local_state *state, int64_t now_ms);
void local_sweep_tickets(struct local_state *state, int64_t now_ms);

#endif
