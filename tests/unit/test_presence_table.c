/* What is not written yet of who came and who went. */
#include "gateway/events/presence_table.h"

#include "gateway/base/hash.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct presence_table table;
static struct presence_batch batch;

static void set_up(void)
{
    cr_assert_eq(hash_init(), ERR_OK);
    cr_assert_eq(presence_table_init(&table), ERR_OK);
    presence_batch_init(&batch);
}

static void tear_down(void)
{
    presence_batch_clear(&batch);
    presence_table_fini(&table);
}

TestSuite(presence_table, .init = set_up, .fini = tear_down);

static void come(const char *user_id)
{
    cr_assert_eq(presence_table_came(&table, span_of(user_id), SPAN_LITERAL("{}"), 0), ERR_OK);
}

static void leave(const char *user_id, int64_t ms, bool is_unsure)
{
    cr_assert_eq(presence_table_left(&table, span_of(user_id), ms, OFFLINE_SILENT, is_unsure),
                 ERR_OK);
}

static void expect_change(size_t i, const char *user_id, bool is_here)
{
    cr_assert_lt(i, batch.n);
    cr_expect(span_equal(batch.changes[i].user_id, span_of(user_id)));
    cr_expect_eq(batch.changes[i].is_here, is_here);
    if (is_here)
        cr_expect(span_equal(batch.changes[i].event, SPAN_LITERAL("{}")));
    else
        cr_expect_eq(batch.changes[i].cause, OFFLINE_SILENT);
}

Test(presence_table, gives_a_batch_in_the_order_in_which_users_came_and_went)
{
    come("a");
    leave("b", 7, false);
    come("c");
    leave("c", 8, false);
    presence_batch_take(&batch, &table);
    cr_assert_eq(batch.n, 4);
    expect_change(0, "a", true);
    expect_change(1, "b", false);
    cr_expect_eq(batch.changes[1].last_seen_ms, 7);
    expect_change(2, "c", true);
    expect_change(3, "c", false);
    cr_expect_eq(table.n, 0);
}

Test(presence_table, forgets_a_user_who_leaves_and_is_back_before_that_was_written)
{
    leave("a", 7, false);
    cr_expect(presence_table_has(&table, SPAN_LITERAL("a")));
    come("a");
    cr_expect_not(presence_table_has(&table, SPAN_LITERAL("a")));
    presence_batch_take(&batch, &table);
    cr_expect_eq(batch.n, 0);
}

Test(presence_table, writes_who_is_back_if_the_record_may_have_lost_the_user)
{
    leave("a", 7, true);
    come("a");
    leave("b", 7, false);
    presence_table_doubt(&table);
    come("b");
    presence_batch_take(&batch, &table);
    cr_assert_eq(batch.n, 2);
    expect_change(0, "a", true);
    expect_change(1, "b", true);
}

Test(presence_table, writes_the_last_coming_of_a_user_who_came_left_and_came)
{
    come("a");
    leave("a", 7, false);
    come("a");
    presence_batch_take(&batch, &table);
    cr_assert_eq(batch.n, 1);
    expect_change(0, "a", true);
}

Test(presence_table, keeps_what_comes_after_a_batch_for_the_next_one)
{
    come("a");
    presence_batch_take(&batch, &table);
    leave("a", 9, false);
    cr_expect_eq(batch.n, 1, "the batch stays what it was");
    presence_batch_clear(&batch);
    presence_batch_take(&batch, &table);
    cr_assert_eq(batch.n, 1);
    expect_change(0, "a", false);
    cr_expect_eq(batch.changes[0].last_seen_ms, 9);
}

Test(presence_table, has_a_ceiling_and_a_batch_has_one_too)
{
    char name[16];
    for (unsigned i = 0; i < PRESENCE_TABLE_MAX; i++) {
        snprintf(name, sizeof name, "u%u", i);
        leave(name, i, false);
    }
    cr_expect_eq(presence_table_left(&table, SPAN_LITERAL("more"), 1, OFFLINE_SLOW, false),
                 ERR_FULL);
    cr_expect_eq(presence_table_came(&table, SPAN_LITERAL("more"), SPAN_NONE, 0), ERR_FULL);
    leave("u1", 12345, false);
    come("u2"); /* takes its entry away */
    size_t n_changes = 0;
    while (table.n > 0) {
        presence_batch_clear(&batch);
        presence_batch_take(&batch, &table);
        cr_expect_leq(batch.n, PRESENCE_BATCH_MAX);
        cr_assert_gt(batch.n, 0);
        n_changes += batch.n;
    }
    cr_expect_eq(n_changes, PRESENCE_TABLE_MAX - 1);
}

Test(presence_table, bounds_the_bytes_of_a_batch)
{
    static char event[4000];
    char name[16];
    for (unsigned i = 0; i < 200; i++) {
        snprintf(name, sizeof name, "u%u", i);
        cr_assert_eq(
            presence_table_came(&table, span_of(name), (struct span){event, sizeof event}, 0),
            ERR_OK);
    }
    presence_batch_take(&batch, &table);
    cr_expect_geq(batch.n * sizeof event, PRESENCE_BATCH_BYTES - sizeof event);
    cr_expect_leq(batch.n * sizeof event, PRESENCE_BATCH_BYTES + sizeof event);
    presence_table_clear(&table);
    cr_expect_eq(table.n, 0);
}

/* The absence that the record may know of ended when the user came for the first time; 0 as well,
 * where that is not known. */
Test(presence_table, keeps_since_when_who_comes_again_unwritten_was_here)
{
    const int64_t since[] = {10, 0};
    for (size_t i = 0; i < 2; i++) {
        cr_assert_eq(presence_table_came(&table, SPAN_LITERAL("a"), SPAN_LITERAL("{}"), since[i]),
                     ERR_OK);
        leave("a", 15, false);
        cr_assert_eq(presence_table_came(&table, SPAN_LITERAL("a"), SPAN_LITERAL("{}"), 20),
                     ERR_OK);
        presence_batch_take(&batch, &table);
        cr_assert_eq(batch.n, 1);
        expect_change(0, "a", true);
        cr_expect_eq(batch.changes[0].came_ms, since[i]);
        presence_batch_clear(&batch);
    }
}
