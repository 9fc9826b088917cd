#include "tests/store/contract_fixture.h"

struct store *store;

struct store_config contract_config(uint32_t inbox_max, uint64_t inbox_max_bytes)
{
    return (struct store_config){
        .redis_prefix = "herald",
        .inbox_max = inbox_max,
        .inbox_max_bytes = inbox_max_bytes,
        .idempotency_window_s = 3600,
        .events_max = 1000,
        .events_max_bytes = 1 << 20,
        .event_ttl_s = 600,
        .alerts_max = 100,
        .events = {.on_inbox_event = record_inbox_event,
                   .on_state = record_state,
                   .on_broadcast = record_broadcast,
                   .on_question = record_question},
    };
}

void contract_open(void)
{
    cr_assert_eq(hash_init(), ERR_OK);
    recorder_init();
    struct store_config config = contract_config(1000, 1 << 20);
    store = backend_open(&config);
}

void contract_open_with(uint32_t inbox_max, uint64_t inbox_max_bytes)
{
    backend_close(store);
    struct store_config config = contract_config(inbox_max, inbox_max_bytes);
    store = backend_open(&config);
}

void contract_open_events(struct store_config limits)
{
    struct store_config config = contract_config(1000, 1 << 20);
    if (limits.events_max > 0)
        config.events_max = limits.events_max;
    if (limits.events_max_bytes > 0)
        config.events_max_bytes = limits.events_max_bytes;
    if (limits.event_ttl_s > 0)
        config.event_ttl_s = limits.event_ttl_s;
    if (limits.alerts_max > 0)
        config.alerts_max = limits.alerts_max;
    backend_close(store);
    store = backend_open(&config);
}

void contract_close(void)
{
    backend_close(store);
    recorder_fini();
    cr_assert_eq(atomic_load(&answers_inside_a_call), 0, "on_done ran inside the call that asked");
    contract_check_leaks();
}

TestSuite(store_contract, .init = contract_open, .fini = contract_close,
          .timeout = STORE_TEST_TIMEOUT_S);
