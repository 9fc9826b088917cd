/* What the contract's cases (cases_*.c) stand on: one open store, empty for each case.
 *
 * The cases are compiled once, and linked with one backend for each test binary: memory_backend.c,
 * file_directory.c or redis_backend.c defines the functions backend_*. The name of the binary,
 * test_store_KIND, says which one a case ran against. */
#ifndef HERALD_TESTS_STORE_CONTRACT_FIXTURE_H
#define HERALD_TESTS_STORE_CONTRACT_FIXTURE_H

#include "tests/store/contract_calls.h"

extern struct store *store; /* the open one */

/* Opens an empty store. `config` holds the ceilings and the events; the backend adds its URL and
 * its lanes. It fails the test itself when it cannot. */
struct store *backend_open(struct store_config *config);
void backend_close(struct store *to_close);
/* store_leave, on the thread where the backend wants it. */
void backend_leave(struct store *from, unsigned lane_index, struct span user_id);

struct store_config contract_config(uint32_t inbox_max, uint64_t inbox_max_bytes);

/* Before and after each case. */
void contract_open(void);
void contract_close(void);

/* A store with other ceilings, empty again. */
void contract_open_with(uint32_t inbox_max, uint64_t inbox_max_bytes);

/* The same with other ceilings of the event log: those of its members that are not 0. */
void contract_open_events(struct store_config limits);

#endif
