#include "gateway/base/clock.h"

#include <criterion/criterion.h>
#include <time.h>

Test(clock, never_goes_back)
{
    int64_t before_us = clock_monotonic_us();
    for (int i = 0; i < 10000; i++) {
        int64_t now_us = clock_monotonic_us();
        cr_assert_geq(now_us, before_us);
        before_us = now_us;
    }
}

Test(clock, counts_the_same_time_in_milliseconds_and_microseconds)
{
    int64_t before_ms = clock_monotonic_us() / 1000;
    int64_t ms = clock_monotonic_ms();
    int64_t after_ms = clock_monotonic_us() / 1000;
    cr_assert(before_ms <= ms && ms <= after_ms);
}

Test(clock, moves_with_the_time_that_passes)
{
    int64_t before_ms = clock_monotonic_ms();
    nanosleep(&(struct timespec){0, 20000000}, NULL);
    int64_t passed_ms = clock_monotonic_ms() - before_ms;
    cr_assert(passed_ms >= 19 && passed_ms < 10000, "%lld ms", (long long)passed_ms);
}

Test(clock, tells_milliseconds_since_1970)
{
    time_t before_s = time(NULL);
    int64_t now_ms = clock_wall_ms();
    time_t after_s = time(NULL);
    /* time() may come from the last tick of the kernel's clock: a few milliseconds late */
    cr_assert(now_ms / 1000 >= before_s && now_ms / 1000 <= after_s + 1);
}

static int64_t noon_ms(void)
{
    return 1700000000000;
}

static int64_t an_hour_us(void)
{
    return INT64_C(3600000000);
}

Test(clock, shows_what_a_simulation_says_until_it_is_over)
{
    clock_replace(noon_ms, an_hour_us);
    cr_assert_eq(clock_wall_ms(), 1700000000000);
    cr_assert_eq(clock_monotonic_us(), INT64_C(3600000000));
    cr_assert_eq(clock_monotonic_ms(), 3600000);
    clock_replace(NULL, NULL);
    cr_assert_gt(clock_wall_ms(), 1700000000000);
    cr_assert_neq(clock_monotonic_us(), INT64_C(3600000000));
}
