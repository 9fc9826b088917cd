/* The memory store without a thread, on a clock of the test's: a turn is run by hand. For one test
 * file each. */
#ifndef HERALD_TESTS_STORE_TWIN_STORE_H
#define HERALD_TESTS_STORE_TWIN_STORE_H

#include "gateway/stores/memory/store_memory.h"
#include "tests/store/contract_calls.h"

static int64_t fake_ms;
static struct store *twin;

static int64_t fake_now_ms(void *unused)
{
    (void)unused;
    return fake_ms;
}

/* The caller sets the limits alone. */
static void twin_open_with(struct store_config config)
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

static void twin_close(void)
{
    store_close(twin);
    recorder_fini();
    contract_check_leaks();
}

#endif
