/* The memory that requests hold (admin/budget.h). */
#include "admin/budget.h"

#include <criterion/criterion.h>
#include <stdint.h>

static struct budget budget;
static struct budget_purse purse, other_purse;
static struct budget_account account, other_account;

static void set_up(void)
{
    budget_init(&budget, 2);
    budget_purse_init(&purse, &budget);
    budget_purse_init(&other_purse, &budget);
}

TestSuite(admin_budget, .init = set_up);

static bool take(struct budget_charge *charge, size_t bytes)
{
    return budget_take(&purse, &account, false, bytes, charge);
}

Test(admin_budget, has_room_for_a_small_request_when_large_ones_have_taken_all_they_can)
{
    struct budget_charge large = {0};
    struct budget_charge small = {0};
    cr_assert(take(&large, BUDGET_SMALL_BYTES + BUDGET_LARGE_PART_BYTES));
    cr_expect_not(take(&large, 1));
    cr_expect(take(&small, BUDGET_SMALL_BYTES));
    cr_expect_not(take(&small, 1), "it is large from here on");
    budget_give_back(&purse, &account, &large);
    cr_expect(take(&small, 1));
}

Test(admin_budget, charges_nothing_that_it_refuses)
{
    struct budget_charge charge = {0};
    cr_expect_not(take(&charge, SIZE_MAX));
    cr_expect_not(take(&charge, BUDGET_SMALL_BYTES + BUDGET_LARGE_PART_BYTES + 1));
    cr_expect_eq(charge.small_bytes + charge.large_bytes, 0);
    cr_expect_eq(atomic_load(&account.large_bytes), 0);
    cr_expect_eq(atomic_load(&budget.large_left), BUDGET_LARGE_PART_BYTES);
    cr_expect_eq(atomic_load(&budget.small_left) + purse.left, BUDGET_SMALL_PART_BYTES);
}

Test(admin_budget, leaves_half_of_its_large_part_to_other_keys)
{
    struct budget_charge mine = {0};
    struct budget_charge theirs = {0};
    size_t half = BUDGET_LARGE_PART_BYTES / 2;
    cr_assert(budget_take(&purse, &account, true, BUDGET_SMALL_BYTES + half, &mine));
    cr_expect_not(budget_take(&purse, &account, true, 1, &mine));
    cr_expect(budget_take(&purse, &other_account, true, BUDGET_SMALL_BYTES + half, &theirs));
    budget_give_back(&purse, &account, &mine);
    cr_expect(budget_take(&purse, &account, true, BUDGET_SMALL_BYTES + half, &mine));
}

/* The first part is shared by the workers, who each keep a step of it. */
Test(admin_budget, gives_out_all_of_its_small_part_and_gets_it_back)
{
    enum { N = BUDGET_SMALL_PART_BYTES / BUDGET_SMALL_BYTES };
    static struct budget_charge charges[N + 1];
    size_t n = 0;
    while (n <= N && budget_take(n % 2 == 0 ? &purse : &other_purse, &account, false,
                                 BUDGET_SMALL_BYTES, &charges[n]))
        n++;
    cr_expect_eq(n, N);
    for (size_t i = 0; i < n; i++)
        budget_give_back(i % 2 == 0 ? &purse : &other_purse, &account, &charges[i]);
    cr_expect_leq(purse.left, (size_t)512 << 10, "a purse keeps little");
    budget_purse_fini(&purse);
    budget_purse_fini(&other_purse);
    cr_expect_eq(atomic_load(&budget.small_left), BUDGET_SMALL_PART_BYTES);
}

/* What a purse keeps is taken from the room of other workers' requests. */
Test(admin_budget, has_room_for_every_connection_however_many_workers_keep_a_purse)
{
    enum { PURSES = 256 };
    static struct budget_purse purses[PURSES];
    static struct budget_charge charges[BUDGET_REQUESTS];
    budget_init(&budget, PURSES);
    for (size_t i = 0; i < PURSES; i++) {
        struct budget_charge rounds[8] = {0};
        budget_purse_init(&purses[i], &budget);
        for (size_t n = 0; n < 8; n++)
            cr_assert(budget_take(&purses[i], &account, false, BUDGET_SMALL_BYTES, &rounds[n]));
        for (size_t n = 0; n < 8; n++)
            budget_give_back(&purses[i], &account, &rounds[n]);
    }
    for (size_t i = 0; i < BUDGET_REQUESTS; i++)
        cr_assert(budget_take(&purses[0], &account, false, BUDGET_SMALL_BYTES, &charges[i]),
                  "request %zu", i);
    for (size_t i = 0; i < BUDGET_REQUESTS; i++)
        budget_give_back(&purses[0], &account, &charges[i]);
    for (size_t i = 0; i < PURSES; i++)
        budget_purse_fini(&purses[i]);
    cr_expect_eq(atomic_load(&budget.small_left), BUDGET_SMALL_PART_BYTES);
}
