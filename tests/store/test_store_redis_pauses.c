/* How soon a Redis that was away for long is found again. */
#include "tests/store/fake_redis.h"
#include "tests/store/redis_backend.h"
#include "tests/support/skipped_clock.h"

enum { LINKS = 2, ROUNDS = 5, LONG_S = 20 };

static struct fake_redis fake;
static atomic_bool is_away;

static enum fake_verdict hang_up(void *owner, struct fake_command *command)
{
    (void)owner;
    (void)command;
    return atomic_load(&is_away) ? FAKE_HANG_UP : FAKE_PASS;
}

/* The request wakes the lane, which then sees that it is later. */
static void pass_second(void)
{
    atomic_fetch_add(&skipped_us, 1000000);
    cr_assert_neq(append_one(store, "anna", "{}", 60).error, ERR_OK);
}

static void wait_for_links(unsigned came)
{
    for (int i = 0; i < SOON_MS / 5 && atomic_load(&fake.n_came) < came; i++)
        pause_ms(5);
    cr_assert_geq(atomic_load(&fake.n_came), came);
}

Test(store_redis, a_redis_that_was_away_for_long_is_looked_for_each_second)
{
    backend_close(store);
    fake_redis_start(&fake, &server, hang_up, NULL);
    struct store_config config = contract_config(1000, 1 << 20);
    store = open_on(&config, fake.url);
    wait_for_state(true);
    atomic_store(&is_away, true);
    fake_redis_drop(&fake);
    wait_for_state(false);
    for (int i = 0; i < LONG_S; i++) {
        pass_second();
        pause_ms(20);
    }
    int64_t from_us = read_monotonic_us();
    for (int i = 0; i < ROUNDS; i++) {
        unsigned came = atomic_load(&fake.n_came);
        pass_second();
        wait_for_links(came + LINKS);
    }
    cr_assert_lt(read_monotonic_us() - from_us, INT64_C(2000000) * ROUNDS);
    atomic_store(&is_away, false);
    wait_for_state(true);
    backend_close(store);
    fake_redis_stop(&fake);
    store = open_on(&config, server.url);
    wait_for_state(true);
}
