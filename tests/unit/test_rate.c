#include "gateway/base/rate.h"

#include "gateway/base/shared_rate.h"

#include <criterion/criterion.h>
#include <pthread.h>

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

/* ---- shared between threads ---- */

Test(shared_rate, gives_a_second_at_once_and_then_n_a_second)
{
    struct shared_rate rate = {0};
    int64_t now_us = 5000000;
    for (int i = 0; i < 10; i++)
        cr_assert(shared_rate_take(&rate, now_us, 10), "%d", i);
    cr_assert_not(shared_rate_take(&rate, now_us, 10));
    cr_assert_not(shared_rate_take(&rate, now_us + 99999, 10));
    cr_assert(shared_rate_take(&rate, now_us + 100000, 10));
    cr_assert_not(shared_rate_take(&rate, now_us + 100000, 10));
}

Test(shared_rate, gives_again_what_was_put_back_and_no_more)
{
    struct shared_rate rate = {0};
    for (int i = 0; i < 3; i++)
        cr_assert(shared_rate_take(&rate, 5000000, 3), "%d", i);
    shared_rate_put_back(&rate, 3);
    cr_assert(shared_rate_take(&rate, 5000000, 3));
    cr_assert_not(shared_rate_take(&rate, 5000000, 3));
}

enum { TAKERS = 4, TRIES = 20000, PER_SECOND = 1000 };

static struct shared_rate shared;

static void *take_many(void *argument)
{
    unsigned *taken = argument;
    for (int i = 0; i < TRIES; i++)
        *taken += shared_rate_take(&shared, 5000000, PER_SECOND);
    return NULL;
}

Test(shared_rate, gives_each_token_once_whoever_asks)
{
    pthread_t threads[TAKERS];
    unsigned taken[TAKERS] = {0};
    unsigned sum = 0;
    for (unsigned i = 0; i < TAKERS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, take_many, &taken[i]), 0);
    for (unsigned i = 0; i < TAKERS; i++) {
        pthread_join(threads[i], NULL);
        sum += taken[i];
    }
    cr_expect_eq(sum, PER_SECOND);
}
