/* The memory store without a thread, on a clock of the test's: a turn is run by hand. For one test
 * file each. */
#ifndef HERALD_TESTS_STORE_TWIN_STORE_H
#define HERALD_TESTS_STORE_TWIN_STORE_H

#include "gateway/stores/memory/store_memory.h"
#include "tests/store/contract_calls.h"

extern int64_t fake_ms;
extern struct store *twin;

int64_t fake_now_ms(void *unused);

/* The caller sets the limits alone. */
void twin_open_with(struct store_config config);

void twin_close(void);

#endif
