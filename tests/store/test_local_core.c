/* How groups of a local store grow. */
#include "gateway/stores/local/local_core.h"

#include <criterion/criterion.h>

Test(local_core, waits_for_more_only_after_a_commit_that_several_appends_have_shared)
{
    cr_assert_eq(local_core_gather_us(0, 0), 0);
    cr_assert_eq(local_core_gather_us(1, 800), 0, "it was alone: so may the next be");
    cr_assert_eq(local_core_gather_us(2, 800), 400);
    cr_assert_eq(local_core_gather_us(500, 800), 400);
}

Test(local_core, does_not_wait_for_memory_nor_long_for_a_slow_disk)
{
    cr_assert_eq(local_core_gather_us(100, 20), 0);
    cr_assert_eq(local_core_gather_us(100, 1900), 950);
    cr_assert_eq(local_core_gather_us(100, 30000), 1000);
}
