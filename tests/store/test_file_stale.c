/* What is stale in the file store: gathered in any order, and taken in that of the keys. */
#include "gateway/stores/file/file_stale.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static void add(struct file_stale *stale, uint64_t key)
{
    cr_assert_eq(file_stale_add(stale, key, (uint32_t)(key & 1), (uint32_t)(key & 0xff)), ERR_OK);
}

/* An order without a pattern, each number below n once; n is a power of two. */
static uint64_t shuffled(uint64_t i, uint64_t n)
{
    return (i * 2654435761u + 12345) & (n - 1);
}

Test(file_stale, leaves_in_the_order_of_the_keys_whatever_the_order_of_their_coming)
{
    enum { COUNT = 1 << 15 };
    static const uint64_t spreads[] = {1, 3, 2047, UINT64_C(1) << 33, UINT64_C(1) << 48};
    for (size_t i = 0; i < sizeof spreads / sizeof *spreads; i++) {
        struct file_stale stale = {0};
        for (uint64_t n = 0; n < COUNT; n++)
            add(&stale, 7 + shuffled(n, COUNT) * spreads[i]);
        cr_assert_not(file_stale_has_run(&stale), "it waits until a run begins");
        cr_assert_eq(file_stale_begin_run(&stale), ERR_OK);
        for (uint64_t n = 0; n < COUNT; n++) {
            uint64_t key = 7 + n * spreads[i];
            struct file_stale_record record = file_stale_take(&stale);
            cr_assert_eq(record.key, key);
            cr_assert_eq(record.distance, key & 1);
            cr_assert_eq(record.bytes, (key & 1) ? 0 : key & 0xff);
        }
        cr_assert(file_stale_is_empty(&stale));
        cr_assert_eq(stale.bytes, 0);
        file_stale_clear(&stale);
    }
}

Test(file_stale, a_run_takes_over_what_is_left_of_the_one_before)
{
    struct file_stale stale = {0};
    for (uint64_t key = 10; key <= 50; key += 10)
        add(&stale, key);
    cr_assert_eq(file_stale_begin_run(&stale), ERR_OK);
    cr_assert_eq(file_stale_take(&stale).key, 10);
    add(&stale, 35);
    add(&stale, 5);
    cr_assert_eq(file_stale_take(&stale).key, 20, "what comes meanwhile waits for the next");
    cr_assert_eq(file_stale_begin_run(&stale), ERR_OK);
    static const uint64_t rest[] = {5, 30, 35, 40, 50};
    for (size_t i = 0; i < sizeof rest / sizeof *rest; i++)
        cr_assert_eq(file_stale_take(&stale).key, rest[i]);
    cr_assert(file_stale_is_empty(&stale));
    cr_assert_eq(file_stale_begin_run(&stale), ERR_OK, "of nothing");
    cr_assert_not(file_stale_has_run(&stale));
}

Test(file_stale, knows_whether_one_is_below_a_key)
{
    struct file_stale stale = {0};
    cr_assert_not(file_stale_has_below(&stale, UINT64_MAX));
    add(&stale, 20);
    add(&stale, 30);
    cr_assert_not(file_stale_has_below(&stale, 20));
    cr_assert(file_stale_has_below(&stale, 21));
    cr_assert_eq(file_stale_begin_run(&stale), ERR_OK);
    add(&stale, 40);
    cr_assert_not(file_stale_has_below(&stale, 20));
    cr_assert(file_stale_has_below(&stale, 21));
    cr_assert_eq(file_stale_take(&stale).key, 20);
    cr_assert_eq(file_stale_take(&stale).key, 30);
    cr_assert_not(file_stale_has_below(&stale, 40));
    cr_assert(file_stale_has_below(&stale, 41));
    file_stale_clear(&stale);
}

Test(file_stale, a_run_is_due_by_its_share_of_the_file_by_records_and_by_bytes)
{
    struct file_stale stale = {0};
    for (uint64_t key = 1; key < FILE_STALE_RUN; key++) {
        cr_assert_eq(file_stale_add(&stale, key, 0, 0), ERR_OK);
        cr_assert_eq(file_stale_is_run_due(&stale, key), key >= FILE_STALE_SHORT_RUN);
        cr_assert_eq(file_stale_is_run_due(&stale, 3 * 10000), key >= 2 * 10000);
        cr_assert_not(file_stale_is_run_due(&stale, 2 * FILE_STALE_RUN));
    }
    cr_assert_eq(file_stale_add(&stale, FILE_STALE_RUN, 0, 0), ERR_OK);
    cr_assert(file_stale_is_run_due(&stale, 2 * FILE_STALE_RUN));
    file_stale_clear(&stale);
    cr_assert_eq(file_stale_add(&stale, 1, 0, FILE_STALE_RUN_BYTES - 1), ERR_OK);
    cr_assert_not(file_stale_is_run_due(&stale, 1));
    cr_assert_eq(file_stale_add(&stale, 2, 7, 1000), ERR_OK);
    cr_assert_not(file_stale_is_run_due(&stale, 2), "a reference takes no bytes of data");
    cr_assert_eq(file_stale_add(&stale, 3, 0, 1), ERR_OK);
    cr_assert(file_stale_is_run_due(&stale, 3));
    file_stale_clear(&stale);
}

/* So a run has left before the next one is due, whatever the groups are, and large data does not
 * wait for much that is small. */
Test(file_stale, more_leaves_with_a_group_than_it_can_make_stale)
{
    struct file_stale stale = {0};
    add(&stale, 1);
    cr_assert_eq(file_stale_share(&stale, 0), FILE_STALE_ALONE);
    for (size_t n_changes = 1; n_changes < 100000; n_changes *= 3)
        cr_assert_gt(file_stale_share(&stale, n_changes), 2 * n_changes);
    for (uint64_t key = 2; key < 67; key++)
        cr_assert_eq(file_stale_add(&stale, key, 0, 1 << 20), ERR_OK);
    cr_assert_eq(file_stale_share(&stale, 1), FILE_STALE_HURRY);
    cr_assert_eq(file_stale_begin_run(&stale), ERR_OK);
    cr_assert_eq(file_stale_take(&stale).key, 1);
    cr_assert_eq(file_stale_take(&stale).key, 2);
    cr_assert_lt(file_stale_share(&stale, 1), FILE_STALE_ALONE, "two runs' bytes are left");
    file_stale_clear(&stale);
}
