#include "tests/store/twin_store.h"

int64_t fake_ms;
struct store *twin;

int64_t fake_now_ms(void *unused)
{
    (void)unused;
    return fake_ms;
}

void twin_open_with(struct store_config config)
{
    cr_assert_eq(hash_init(), ERR_OK);
    recorder_init();
    fake_ms = 1700000000000;
    config.redis_prefix = "herald";
    config.idempotency_window_s = 3600;
    config.events =
        (struct store_events){.on_inbox_event = record_inbox_event, .on_state = record_state};
    struct store_clock clock = {fake_now_ms, NULL};
    cr_assert_eq(store_memory_open_unthreaded(&config, clock, &twin), ERR_OK);
}

void twin_close(void)
{
    store_close(twin);
    recorder_fini();
    contract_check_leaks();
}
