/* What the contract's cases stand on: one open store, empty for each case.
 *
 * A tests/store/test_store_KIND.c defines these two before it includes contract_cases.h:
 *   static struct store *backend_open(struct store_config *config);
 *     Opens an empty store. `config` holds the ceilings and the events; the backend adds its url
 *     and its lanes. It fails the test itself when it cannot.
 *   static void backend_close(struct store *store); */
#ifndef HERALD_TESTS_STORE_CONTRACT_FIXTURE_H
#define HERALD_TESTS_STORE_CONTRACT_FIXTURE_H

#include "tests/store/contract_calls.h"

static struct store *store;

static struct store_config contract_config(uint32_t inbox_max, uint64_t inbox_max_bytes)
{
    return (struct store_config){
        .redis_prefix = "herald",
        .inbox_max = inbox_max,
        .inbox_max_bytes = inbox_max_bytes,
        .idempotency_window_s = 3600,
        .events = {.on_inbox_event = record_inbox_event,
                   .on_state = record_state,
                   .on_broadcast = record_broadcast},
    };
}

static void contract_open(void)
{
    cr_assert_eq(hash_init(), ERR_OK);
    recorder_init();
    struct store_config config = contract_config(1000, 1 << 20);
    store = backend_open(&config);
}

/* A store with other ceilings, empty again. */
MAYBE_UNUSED static void contract_open_with(uint32_t inbox_max, uint64_t inbox_max_bytes)
{
    backend_close(store);
    struct store_config config = contract_config(inbox_max, inbox_max_bytes);
    store = backend_open(&config);
}

static void contract_close(void)
{
    backend_close(store);
    recorder_fini();
    cr_assert_eq(atomic_load(&answers_inside_a_call), 0, "on_done ran inside the call that asked");
    contract_check_leaks();
}

TestSuite(store_contract, .init = contract_open, .fini = contract_close, .timeout = 60);

#endif
