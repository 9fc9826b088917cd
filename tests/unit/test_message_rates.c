/* The token bucket of each user who sends messages. */
#include "gateway/events/message_rates.h"

#include "gateway/base/hash.h"

#include <criterion/criterion.h>
#include <stdio.h>

enum { SECOND_US = 1000000, RATE = 10, BURST = MESSAGE_RATES_BURST_S * RATE };

static struct message_rates *rates;

static void start(void)
{
    cr_assert_eq(hash_init(), ERR_OK);
    cr_assert_eq(message_rates_new(&rates), ERR_OK);
}

static void stop(void)
{
    message_rates_free(rates);
}

TestSuite(message_rates, .init = start, .fini = stop);

static unsigned take_all(const char *user_id, int64_t now_us)
{
    unsigned n = 0;
    while (message_rates_take(rates, span_of(user_id), now_us, RATE) == ERR_OK)
        n++;
    return n;
}

Test(message_rates, let_each_user_send_a_burst_and_then_the_rate)
{
    int64_t now_us = 7 * SECOND_US;
    cr_expect_eq(take_all("anna", now_us), BURST);
    cr_expect_eq(take_all("anna", now_us + SECOND_US), RATE);
    cr_expect_eq(take_all("bert", now_us + SECOND_US), BURST);
    cr_expect_eq(take_all("anna", now_us + 60 * (int64_t)SECOND_US), BURST);
}

Test(message_rates, forget_a_user_no_sooner_than_the_bucket_is_full_again)
{
    int64_t now_us = 7 * SECOND_US;
    cr_expect_eq(take_all("anna", now_us), BURST);
    for (unsigned shard = 0; shard < MESSAGE_RATES_SHARDS; shard++)
        message_rates_sweep(rates, shard, now_us + SECOND_US);
    cr_expect_eq(take_all("anna", now_us + SECOND_US), RATE);
    for (unsigned shard = 0; shard < MESSAGE_RATES_SHARDS; shard++)
        message_rates_sweep(rates, shard, now_us + 60 * (int64_t)SECOND_US);
    cr_expect_eq(take_all("anna", now_us + 60 * (int64_t)SECOND_US), BURST);
}

Test(message_rates, take_the_rate_of_the_moment)
{
    int64_t now_us = 7 * SECOND_US;
    cr_expect_eq(take_all("anna", now_us), BURST);
    cr_expect_eq(message_rates_take(rates, SPAN_LITERAL("anna"), now_us + SECOND_US, 1), ERR_OK);
    cr_expect_eq(message_rates_take(rates, SPAN_LITERAL("anna"), now_us + SECOND_US, 1), ERR_RATE);
}

/* Without a bound, userIds that are made up would fill the memory. */
Test(message_rates, know_a_bounded_number_of_users_who_must_wait)
{
    char user_id[32];
    int64_t now_us = 7 * SECOND_US;
    unsigned n_refused = 0;
    for (unsigned i = 0; i < 2 * MESSAGE_RATES_USERS_MAX; i++) {
        snprintf(user_id, sizeof user_id, "user-%u", i);
        n_refused += message_rates_take(rates, span_of(user_id), now_us, RATE) == ERR_FULL;
    }
    cr_expect_eq(n_refused, MESSAGE_RATES_USERS_MAX);
    cr_expect_eq(message_rates_take(rates, SPAN_LITERAL("anna"), now_us + SECOND_US, RATE), ERR_OK);
}
