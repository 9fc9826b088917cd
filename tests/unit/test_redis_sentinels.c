/* Which of several Sentinels is believed, and what a node remembers of them. */
#include "gateway/stores/redis/redis_sentinels.h"

#include <criterion/criterion.h>

static struct redis_sentinels sentinels;

static struct redis_address at_port(uint16_t port)
{
    struct redis_address address = {.port = port};
    snprintf(address.host, sizeof address.host, "10.0.0.1");
    return address;
}

static struct redis_sentinel_says says_port(uint64_t epoch, uint16_t port)
{
    return (struct redis_sentinel_says){.epoch = epoch, .primary = at_port(port)};
}

static void begin_with(unsigned n)
{
    struct redis_url url = {.n_hosts = n};
    for (unsigned i = 0; i < n; i++)
        url.hosts[i] = at_port((uint16_t)(1 + i));
    redis_sentinels_init(&sentinels, &url);
}

static void end_them(void)
{
    redis_sentinels_fini(&sentinels);
}

TestSuite(redis_sentinels, .fini = end_them);

Test(redis_sentinels, all_hosts_are_known_in_some_order)
{
    struct redis_sentinel_list list;
    bool is_there[17] = {false};
    begin_with(16);
    redis_sentinels_list(&sentinels, &list);
    cr_assert_eq(list.n, 16);
    for (unsigned i = 0; i < list.n; i++)
        is_there[list.addresses[i].port] = true;
    for (unsigned port = 1; port <= 16; port++)
        cr_assert(is_there[port]);
}

Test(redis_sentinels, more_are_added_once_and_up_to_32)
{
    struct redis_sentinel_list list;
    begin_with(2);
    for (uint16_t port = 1; port < 60; port++) {
        struct redis_address address = at_port(port);
        redis_sentinels_add(&sentinels, &address);
    }
    redis_sentinels_list(&sentinels, &list);
    cr_assert_eq(list.n, REDIS_SENTINELS_MAX);
    cr_assert_eq(list.addresses[31].port, 32);
}

Test(redis_sentinels, the_one_that_answered_comes_first)
{
    struct redis_sentinel_list list;
    struct redis_address answered = at_port(3);
    begin_with(4);
    redis_sentinels_answered(&sentinels, &answered);
    redis_sentinels_list(&sentinels, &list);
    cr_assert_eq(list.n, 4);
    cr_assert_eq(list.addresses[0].port, 3);
    answered = at_port(99);
    redis_sentinels_answered(&sentinels, &answered);
    redis_sentinels_list(&sentinels, &list);
    cr_assert_eq(list.addresses[0].port, 3);
}

Test(redis_sentinels, the_highest_epoch_counts)
{
    begin_with(1);
    const struct redis_sentinel_says says[] = {says_port(0, 1), says_port(4, 2), says_port(3, 1)};
    cr_assert_eq(redis_sentinels_choose(says, 3), &says[1]);
    cr_assert_eq(redis_sentinels_choose(says, 1), &says[0]);
}

Test(redis_sentinels, of_one_epoch_the_address_that_most_name_counts)
{
    begin_with(1);
    const struct redis_sentinel_says says[] = {says_port(4, 1), says_port(4, 2), says_port(3, 1),
                                               says_port(4, 2)};
    cr_assert_eq(redis_sentinels_choose(says, 4)->primary.port, 2);
}

Test(redis_sentinels, an_epoch_below_the_highest_ever_is_not_believed)
{
    begin_with(1);
    struct redis_sentinel_says first = says_port(4, 1);
    struct redis_sentinel_says older = says_port(3, 2);
    struct redis_sentinel_says newer = says_port(5, 2);
    cr_assert_eq(redis_sentinels_believe(&sentinels, &first), REDIS_BELIEF_SAME);
    cr_assert_eq(redis_sentinels_believe(&sentinels, &older), REDIS_BELIEF_OLDER);
    cr_assert_not(redis_sentinels_have_moved(&sentinels, &first.primary));
    cr_assert_eq(redis_sentinels_believe(&sentinels, &newer), REDIS_BELIEF_OTHER);
    cr_assert(redis_sentinels_have_moved(&sentinels, &first.primary));
    cr_assert_not(redis_sentinels_have_moved(&sentinels, &newer.primary));
    cr_assert_eq(redis_sentinels_believe(&sentinels, &first), REDIS_BELIEF_OLDER);
    cr_assert_eq(redis_sentinels_believe(&sentinels, &newer), REDIS_BELIEF_SAME);
}

Test(redis_sentinels, while_it_is_being_replaced_nobody_is_the_primary)
{
    begin_with(1);
    struct redis_sentinel_says first = says_port(4, 1);
    cr_assert_eq(redis_sentinels_believe(&sentinels, &first), REDIS_BELIEF_SAME);
    cr_assert(redis_sentinels_replace(&sentinels, true, 5000));
    cr_assert(redis_sentinels_have_moved(&sentinels, &first.primary));
    cr_assert_not(redis_sentinels_replace(&sentinels, false, 6000), "it was given up");
    cr_assert_not(redis_sentinels_have_moved(&sentinels, &first.primary));
}

Test(redis_sentinels, a_replacement_without_an_end_is_not_believed_for_ever)
{
    begin_with(1);
    struct redis_sentinel_says first = says_port(4, 1);
    cr_assert_eq(redis_sentinels_believe(&sentinels, &first), REDIS_BELIEF_SAME);
    for (int64_t ms = 5000; ms < 5000 + REDIS_REPLACED_MAX_MS; ms += 100)
        cr_assert(redis_sentinels_replace(&sentinels, true, ms));
    cr_assert_not(redis_sentinels_replace(&sentinels, true, 5000 + REDIS_REPLACED_MAX_MS));
    cr_assert_not(redis_sentinels_have_moved(&sentinels, &first.primary));
    cr_assert_not(redis_sentinels_replace(&sentinels, true, 90000));
    cr_assert_not(redis_sentinels_replace(&sentinels, false, 91000));
    cr_assert(redis_sentinels_replace(&sentinels, true, 92000), "the next one is");
}

Test(redis_sentinels, before_the_first_answer_nobody_has_moved)
{
    struct redis_address address = at_port(1);
    begin_with(1);
    cr_assert_not(redis_sentinels_have_moved(&sentinels, &address));
}
