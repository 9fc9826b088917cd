/* Which of the times that Redis has reported a node uses. */
#include "gateway/stores/redis/redis_clock.h"

#include "gateway/base/metrics.h"
#include "tests/support/fake_clock.h"

#include <criterion/criterion.h>

static struct redis_clock redis;

static void begin(void)
{
    stop_the_clock(); /* the monotonic clock at 5000 ms, the wall clock at 0 */
    redis_clock_init(&redis, "a");
}

static void end(void)
{
    redis_clock_fini(&redis);
    let_the_clock_go();
}

TestSuite(redis_clock, .init = begin, .fini = end);

Test(redis_clock, is_this_machines_until_redis_has_reported_its_own)
{
    cr_assert_eq(redis_clock_now_ms(&redis), 0);
    redis_clock_set(&redis, 1700000000000, 4990, 5000);
    cr_assert_eq(redis_clock_now_ms(&redis), 1700000000000);
    fake_us += 3000 * 1000;
    cr_assert_eq(redis_clock_now_ms(&redis), 1700000003000, "it goes on by the monotonic clock");
}

Test(redis_clock, takes_what_was_shortest_on_its_way)
{
    redis_clock_set(&redis, 1700000000000, 4990, 5000);
    redis_clock_hear(&redis, 1700000000000, 5040); /* 40 ms on its way, or more */
    cr_assert_eq(redis_clock_now_ms(&redis), 1700000000000);
    redis_clock_hear(&redis, 1700000000060, 5050); /* so the TIME was */
    cr_assert_eq(redis_clock_now_ms(&redis), 1700000000010);
}

Test(redis_clock, asks_before_it_believes_a_message_that_is_far_ahead)
{
    redis_clock_set(&redis, 1700000000000, 4990, 5000);
    for (int64_t i = 1; i <= 10; i++)
        cr_assert(redis_clock_hear(&redis, 1700000000000 + i * 100, 5000));
    cr_assert_eq(redis_clock_now_ms(&redis), 1700000001000);
    cr_assert_not(redis_clock_hear(&redis, 1700000001001, 5000), "not step by step either");
    cr_assert_not(redis_clock_hear(&redis, 1800000000000, 5000));
    cr_assert_eq(redis_clock_now_ms(&redis), 1700000001000);
    redis_clock_set(&redis, 1700000002000, 5000, 5000);
    cr_assert_eq(redis_clock_now_ms(&redis), 1700000002000);
    cr_assert(redis_clock_hear(&redis, 1700000003000, 5000));
}

Test(redis_clock, follows_one_that_runs_slower_with_the_second_time)
{
    redis_clock_set(&redis, 1700000000000, 5000, 5000);
    redis_clock_set(&redis, 1700000059950, 65000, 65000); /* 50 ms less: may have been on its way */
    fake_us = 65000 * 1000;
    cr_assert_eq(redis_clock_now_ms(&redis), 1700000060000);
    redis_clock_set(&redis, 1700000119900, 125000, 125000);
    fake_us = 125000 * 1000;
    cr_assert_eq(redis_clock_now_ms(&redis), 1700000119950, "the largest since the last TIME");
}

Test(redis_clock, believes_at_once_one_that_was_set_back)
{
    redis_clock_set(&redis, 1700000000000, 5000, 5000);
    redis_clock_set(&redis, 1699999990000, 4800, 5000);
    cr_assert_eq(redis_clock_now_ms(&redis), 1699999990000);
    redis_clock_set(&redis, 1699999989720, 4800, 5000); /* its way and 80 ms: not set back */
    cr_assert_eq(redis_clock_now_ms(&redis), 1699999990000);
}

Test(redis_clock, takes_a_message_if_no_time_was_reported)
{
    redis_clock_hear(&redis, 1700000000000, 5000);
    cr_assert_eq(redis_clock_now_ms(&redis), 1700000000000);
    redis_clock_set(&redis, 1700000000020, 4990, 5000);
    cr_assert_eq(redis_clock_now_ms(&redis), 1700000000020);
}

Test(redis_clock, has_the_time_of_the_one_before_until_it_has_told_its_own)
{
    struct redis_clock next;
    redis_clock_init(&next, "b");
    redis_clock_guess(&next, &redis);
    cr_assert_eq(redis_clock_now_ms(&next), 0, "nothing is known of either");
    redis_clock_set(&redis, 1700000000000, 4990, 5000);
    redis_clock_guess(&next, &redis);
    cr_assert_eq(redis_clock_now_ms(&next), 1700000000000);
    redis_clock_set(&next, 1600000000000, 4990, 5000);
    cr_assert_eq(redis_clock_now_ms(&next), 1600000000000);
    redis_clock_guess(&next, &redis);
    cr_assert_eq(redis_clock_now_ms(&next), 1600000000000, "what it told is better");
    redis_clock_fini(&next);
}

Test(redis_clock, that_is_furthest_from_this_machines_is_shown)
{
    struct redis_clock near, far;
    redis_clock_init(&near, "b");
    redis_clock_init(&far, "c");
    redis_clock_join(&near, &redis);
    redis_clock_join(&far, &redis);
    redis_clock_set(&far, -90000, 5000, 5000);
    redis_clock_set(&near, 3000, 5000, 5000);
    cr_assert_eq(metrics_read(METRIC_CLOCK_OFFSET), -90);
    redis_clock_fini(&near);
    redis_clock_fini(&far);
}
