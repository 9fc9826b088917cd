/* How groups of a local store grow, and when the index of one that was let go is freed. */
#include "gateway/base/hash.h"
#include "gateway/stores/local/local_upgrade.h"

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

/* ---- a backing without records ---- */

static int n_let_go;

static void let_go(struct backing *backing)
{
    (void)backing;
    n_let_go++;
}

static void close_backing(struct backing *backing, struct local_index *index)
{
    (void)backing;
    (void)index;
}

static const struct backing_ops no_records = {
    .kind = "file", .let_go = let_go, .close = close_backing};

static int64_t fake_ms;

static int64_t fake_now_ms(void *unused)
{
    (void)unused;
    return fake_ms;
}

/* The next process builds its own meanwhile, and most processes end before that. */
Test(local_core, the_index_of_a_store_that_was_let_go_is_freed_later)
{
    struct backing backing = {.ops = &no_records};
    struct local_core core;
    struct local_index index;
    fake_ms = 1700000000000;
    cr_assert_eq(hash_init(), ERR_OK);
    cr_assert_eq(local_index_new(&index), ERR_OK);
    cr_assert_eq(local_core_init(&core, &(struct store_config){.inbox_max = 1},
                                 (struct store_clock){fake_now_ms, NULL}, &backing, index),
                 ERR_OK);
    cr_assert_not_null(local_add_user(&core.state, SPAN_LITERAL("anna"), fake_ms));
    local_upgrade_forget(&core);
    cr_assert_null(local_upgrade_let_go(&core));
    cr_assert_eq(n_let_go, 1);
    fake_ms += LOCAL_FORGET_AFTER_MS - 1;
    local_upgrade_forget(&core);
    cr_assert_eq(inbox_table_count(core.state.index.users), 1);
    cr_assert(local_core_needs_time(&core), "or nothing would free it");
    fake_ms += 1;
    local_upgrade_forget(&core);
    cr_assert_eq(inbox_table_count(core.state.index.users), 0);
    cr_assert_not(local_core_needs_time(&core));
    local_core_fini(&core);
}
