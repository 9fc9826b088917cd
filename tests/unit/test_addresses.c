/* Who is here, and whose turn it is, address by address. */
#include "gateway/net/addresses.h"

#include "gateway/base/hash.h"

#include <criterion/criterion.h>

enum { MANY = 100 };

struct place {
    struct address here;
    struct line line;
};

struct one {
    struct list link;
    struct place *place;
};

static struct addresses addresses;
static struct round round_of_all;
static struct one all[MANY];

static void set_up(void)
{
    cr_assert_eq(hash_init(), ERR_OK);
    cr_assert_eq(addresses_init(&addresses), ERR_OK);
    round_init(&round_of_all);
}

static void tear_down(void)
{
    cr_expect_eq(addresses.table.n_links, 0);
    cr_expect_null(round_next(&round_of_all));
    addresses_fini(&addresses);
}

TestSuite(addresses, .init = set_up, .fini = tear_down);

static void await(int n, const char *text)
{
    struct ip ip;
    cr_assert_eq(ip_parse((struct span){text, strlen(text)}, &ip), ERR_OK);
    struct address *here = addresses_enter(&addresses, &ip, sizeof *all[n].place);
    cr_assert_not_null(here);
    all[n].place = CONTAINER_OF(here, struct place, here);
    if (here->n_here == 1)
        line_init(&all[n].place->line);
    list_init(&all[n].link);
    round_wait(&round_of_all, &all[n].place->line, &all[n].link);
}

static void go(int n)
{
    round_leave(&all[n].place->line, &all[n].link);
    addresses_leave(&addresses, &all[n].place->here);
}

static int take_next(void)
{
    struct list *next = round_next(&round_of_all);
    cr_assert_not_null(next);
    struct one *one = CONTAINER_OF(next, struct one, link);
    round_take(&round_of_all, &one->place->line, &one->link);
    addresses_leave(&addresses, &one->place->here);
    return (int)(one - all);
}

Test(addresses, a_newcomer_has_its_turn_after_one_of_each_that_waits)
{
    for (int i = 0; i < MANY - 1; i++)
        await(i, i % 2 == 0 ? "192.0.2.1" : "192.0.2.2");
    await(MANY - 1, "192.0.2.3");
    cr_expect_eq(take_next(), 0);
    cr_expect_eq(take_next(), 1);
    cr_expect_eq(take_next(), MANY - 1);
    for (int i = 2; i < MANY - 1; i++)
        cr_expect_eq(take_next(), i);
}

Test(addresses, one_that_leaves_costs_the_others_of_its_address_no_turn)
{
    await(0, "192.0.2.1");
    await(1, "192.0.2.1");
    await(2, "192.0.2.2");
    go(0);
    cr_expect_eq(take_next(), 1);
    cr_expect_eq(take_next(), 2);
}

Test(addresses, an_address_goes_with_the_last_of_it_and_returns_after_the_others)
{
    await(0, "192.0.2.1");
    await(1, "192.0.2.2");
    cr_expect_eq(addresses.table.n_links, 2);
    go(0);
    cr_expect_eq(addresses.table.n_links, 1);
    await(0, "192.0.2.1");
    cr_expect_eq(take_next(), 1);
    cr_expect_eq(take_next(), 0);
}

Test(addresses, are_the_64_bit_networks_of_ipv6)
{
    await(0, "2001:db8:1:2::1");
    await(1, "2001:db8:1:2::2");
    await(2, "2001:db8:1:3::1");
    cr_expect_eq(addresses.table.n_links, 2);
    cr_expect_eq(take_next(), 0);
    cr_expect_eq(take_next(), 2);
    cr_expect_eq(take_next(), 1);
}
