#include "gateway/base/hash.h"
#include "gateway/store/file_shared.h"
#include "gateway/store/inbox.h"

#include <criterion/criterion.h>
#include <stdio.h>

static const struct epoch epoch = {"abcdefgh"};

static struct inbox_table *new_table(void)
{
    struct inbox_table *table = NULL;
    cr_assert_eq(hash_init(), ERR_OK);
    cr_assert_eq(inbox_table_new(&table), ERR_OK);
    return table;
}

static struct span name_of(int number, char out[16])
{
    snprintf(out, 16, "user-%d", number);
    return span_of(out);
}

static void count_visit(void *owner, struct inbox *inbox)
{
    (void)inbox;
    ++*(size_t *)owner;
}

Test(inbox_table, finds_every_user_while_it_grows_and_shrinks)
{
    enum { USERS = 5000 };
    char name[16];
    struct inbox_table *table = new_table();
    for (int i = 0; i < USERS; i++) {
        cr_assert_null(inbox_find(table, name_of(i, name)));
        cr_assert_not_null(inbox_add(table, name_of(i, name), epoch));
        cr_assert_not_null(inbox_find(table, name_of(i / 2, name)));
    }
    for (int i = 0; i < USERS; i += 3)
        inbox_remove(table, inbox_find(table, name_of(i, name)));
    for (int i = 0; i < USERS; i++)
        cr_assert_eq(inbox_find(table, name_of(i, name)) != NULL, i % 3 != 0);
    size_t visited = 0;
    inbox_table_visit(table, inbox_table_buckets(table), count_visit, &visited);
    cr_assert_eq(visited, inbox_table_count(table), "one round visits each user once");
    inbox_table_free(table);
}

static void push_number(struct inbox *inbox, uint64_t seq, int64_t expires_ms)
{
    cr_assert_eq(inbox_reserve(inbox), ERR_OK);
    inbox_push(inbox, (struct inbox_entry){.seq = seq, .expires_ms = expires_ms, .bytes = 10});
}

static void sum_left(void *owner, const struct inbox_entry *entry)
{
    *(uint64_t *)owner += entry->seq;
}

Test(inbox, keeps_its_entries_in_order_while_the_oldest_leave)
{
    struct inbox_table *table = new_table();
    struct inbox *inbox = inbox_add(table, SPAN_LITERAL("anna"), epoch);
    for (uint64_t seq = 1; seq <= 1000; seq++) {
        push_number(inbox, seq, 0);
        if (inbox_count(inbox) > 7)
            inbox_drop_oldest(inbox, 1);
        cr_assert_eq(inbox_entries(inbox)[inbox_count(inbox) - 1].seq, seq);
        cr_assert_eq(inbox_bytes(inbox), inbox_count(inbox) * 10);
    }
    cr_assert_eq(inbox_entries(inbox)[0].seq, 994);
    cr_assert_eq(inbox_seek(inbox, 996), 3);
    cr_assert_eq(inbox_seek(inbox, 0), 0);
    cr_assert_eq(inbox_seek(inbox, 1000), 7);
    inbox_drop_oldest(inbox, 7);
    cr_assert_null(inbox_entries(inbox), "an empty inbox holds no array");
    inbox_table_free(table);
}

Test(inbox, drops_what_has_expired_wherever_it_stands)
{
    struct inbox_table *table = new_table();
    struct inbox *inbox = inbox_add(table, SPAN_LITERAL("anna"), epoch);
    uint64_t left = 0;
    for (uint64_t seq = 1; seq <= 6; seq++)
        push_number(inbox, seq, seq % 2 == 0 ? 100 : 200);
    cr_assert_eq(inbox_drop_expired(inbox, 99, sum_left, &left), 0);
    cr_assert_eq(inbox_drop_expired(inbox, 100, sum_left, &left), 3);
    cr_assert_eq(left, 2 + 4 + 6);
    cr_assert_eq(inbox_count(inbox), 3);
    cr_assert_eq(inbox_entries(inbox)[1].seq, 3);
    inbox_table_free(table);
}

Test(file_shared, counts_references_of_many_keys)
{
    enum { KEYS = 3000 };
    struct file_shared shared = {0};
    cr_assert_eq(file_shared_unref(&shared, 1), 0);
    for (uint64_t key = 1; key <= KEYS; key++)
        for (uint64_t i = 0; i < 1 + key % 3; i++)
            cr_assert_eq(file_shared_ref(&shared, key * 7), ERR_OK);
    for (uint64_t key = KEYS; key >= 1; key--)
        for (uint64_t i = 1 + key % 3; i > 0; i--)
            cr_assert_eq(file_shared_unref(&shared, key * 7), i - 1);
    cr_assert_eq(shared.n, 0);
    file_shared_clear(&shared);
}
