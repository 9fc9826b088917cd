#include "gateway/base/rate.h"

#include <criterion/criterion.h>

Test(rate, gives_the_burst_at_once_and_then_n_a_second)
{
    struct rate rate = {0};
    int64_t now_us = 5000000;
    for (int i = 0; i < 20; i++)
        cr_assert(rate_take(&rate, now_us, 10, 20, 1), "%d", i);
    cr_assert_not(rate_take(&rate, now_us, 10, 20, 1));
    cr_assert_not(rate_take(&rate, now_us + 99999, 10, 20, 1));
    cr_assert(rate_take(&rate, now_us + 100000, 10, 20, 1));
    cr_assert_not(rate_take(&rate, now_us + 100000, 10, 20, 1));
}

Test(rate, never_holds_more_than_the_burst)
{
    struct rate rate = {0};
    cr_assert(rate_take(&rate, 1, 10, 10, 10));
    int64_t later_us = INT64_C(3600) * 1000000;
    cr_assert_not(rate_take(&rate, later_us, 10, 10, 11));
    cr_assert(rate_take(&rate, later_us, 10, 10, 10));
}

Test(rate, takes_nothing_when_there_is_too_little)
{
    struct rate rate = {0};
    cr_assert(rate_take(&rate, 1000, 100, 100, 60));
    cr_assert_not(rate_take(&rate, 1000, 100, 100, 41));
    cr_assert(rate_take(&rate, 1000, 100, 100, 40));
}
