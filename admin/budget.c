#include "admin/budget.h"

enum { STEP_MAX_BYTES = 256 << 10 };

void budget_init(struct budget *budget, unsigned n_purses)
{
    size_t to_spare = BUDGET_SMALL_PART_BYTES - (size_t)BUDGET_REQUESTS * BUDGET_SMALL_BYTES;
    size_t step_bytes = to_spare / ((size_t)2 * n_purses);
    budget->step_bytes = step_bytes < STEP_MAX_BYTES ? step_bytes : STEP_MAX_BYTES;
    atomic_init(&budget->small_left, BUDGET_SMALL_PART_BYTES);
    atomic_init(&budget->large_left, BUDGET_LARGE_PART_BYTES);
}

void budget_purse_init(struct budget_purse *purse, struct budget *budget)
{
    *purse = (struct budget_purse){.budget = budget};
}

void budget_purse_fini(struct budget_purse *purse)
{
    atomic_fetch_add_explicit(&purse->budget->small_left, purse->left, memory_order_relaxed);
    purse->left = 0;
}

/* Takes `bytes` away from *left. false: there are fewer. */
static bool take_from(atomic_size_t *left, size_t bytes)
{
    size_t now = atomic_load_explicit(left, memory_order_relaxed);
    while (now >= bytes) {
        if (atomic_compare_exchange_weak_explicit(left, &now, now - bytes, memory_order_relaxed,
                                                  memory_order_relaxed))
            return true;
    }
    return false;
}

static bool take_small(struct budget_purse *purse, size_t bytes)
{
    if (purse->left < bytes) {
        size_t missing = bytes - purse->left;
        size_t least = purse->budget->step_bytes;
        size_t step = missing < least ? least : missing;
        if (!take_from(&purse->budget->small_left, step)) {
            step = missing; /* the last of the part */
            if (!take_from(&purse->budget->small_left, step))
                return false;
        }
        purse->left += step;
    }
    purse->left -= bytes;
    return true;
}

static void give_small(struct budget_purse *purse, size_t bytes)
{
    size_t step = purse->budget->step_bytes;
    purse->left += bytes;
    if (purse->left < 2 * step)
        return;
    atomic_fetch_add_explicit(&purse->budget->small_left, purse->left - step, memory_order_relaxed);
    purse->left = step;
}

static bool take_large(struct budget *budget, struct budget_account *account, bool is_shared,
                       size_t bytes)
{
    size_t most = is_shared ? BUDGET_LARGE_PART_BYTES / 2 : BUDGET_LARGE_PART_BYTES;
    if (bytes > most)
        return false;
    size_t before = atomic_fetch_add_explicit(&account->large_bytes, bytes, memory_order_relaxed);
    if (before <= most - bytes && take_from(&budget->large_left, bytes))
        return true;
    atomic_fetch_sub_explicit(&account->large_bytes, bytes, memory_order_relaxed);
    return false;
}

bool budget_take(struct budget_purse *purse, struct budget_account *account, bool is_shared,
                 size_t bytes, struct budget_charge *charge)
{
    size_t room = BUDGET_SMALL_BYTES - charge->small_bytes;
    size_t small = bytes < room ? bytes : room;
    size_t large = bytes - small;
    if (!take_small(purse, small))
        return false;
    if (large > 0 && !take_large(purse->budget, account, is_shared, large)) {
        give_small(purse, small);
        return false;
    }
    charge->small_bytes += small;
    charge->large_bytes += large;
    return true;
}

void budget_give_back(struct budget_purse *purse, struct budget_account *account,
                      struct budget_charge *charge)
{
    give_small(purse, charge->small_bytes);
    if (charge->large_bytes > 0) {
        atomic_fetch_sub_explicit(&account->large_bytes, charge->large_bytes, memory_order_relaxed);
        atomic_fetch_add_explicit(&purse->budget->large_left, charge->large_bytes,
                                  memory_order_relaxed);
    }
    *charge = (struct budget_charge){0};
}
