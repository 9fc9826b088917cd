/* When the store was away, and for how long in the life of a session. */
#include "gateway/node/outages.h"

#include <criterion/criterion.h>

static struct outages outages;

static void begin(void)
{
    outages_init(&outages);
}

static void end(void)
{
    outages_fini(&outages);
}

TestSuite(outages, .init = begin, .fini = end);

static void fail_from_to(int64_t from_ms, int64_t to_ms)
{
    outages_begin(&outages, from_ms);
    outages_end(&outages, to_ms);
}

Test(outages, count_as_far_as_they_lie_between_the_two_times)
{
    cr_expect_eq(outages_since(&outages, 0, 1000), 0);
    fail_from_to(100, 150);
    fail_from_to(300, 400);
    cr_expect_eq(outages_since(&outages, 0, 1000), 150);
    cr_expect_eq(outages_since(&outages, 120, 1000), 130);
    cr_expect_eq(outages_since(&outages, 150, 300), 0);
    cr_expect_eq(outages_since(&outages, 350, 360), 10);
    cr_expect_eq(outages_since(&outages, 500, 1000), 0);
}

Test(outages, that_last_count_up_to_now)
{
    outages_begin(&outages, 100);
    cr_expect_eq(outages_since(&outages, 0, 150), 50);
    outages_begin(&outages, 140); /* it is away already */
    cr_expect_eq(outages_since(&outages, 0, 150), 50);
    outages_end(&outages, 160);
    outages_end(&outages, 170);
    cr_expect_eq(outages_since(&outages, 0, 1000), 60);
}

/* What is forgotten is that the store was there in between: sessions live longer for it, and never
 * shorter. */
Test(outages, of_which_there_are_too_many_become_one_at_the_far_end)
{
    for (int64_t i = 0; i < 3 * OUTAGES_KEPT; i++)
        fail_from_to(i * 100, i * 100 + 10);
    int64_t end_ms = 3 * OUTAGES_KEPT * 100;
    int64_t first_kept_ms = end_ms - (OUTAGES_KEPT - 1) * 100;
    cr_expect_eq(outages_since(&outages, first_kept_ms, end_ms), (OUTAGES_KEPT - 1) * 10);
    cr_expect_eq(outages_since(&outages, 0, first_kept_ms), first_kept_ms - 90);
}
