#include "gateway/base/hash.h"
#include "gateway/stores/file/file_shared.h"
#include "gateway/stores/local/idempotency.h"
#include "gateway/stores/local/inbox.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

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

Test(inbox, what_was_written_never_falls_below_the_position)
{
    struct inbox_table *table = new_table();
    struct inbox *inbox = inbox_add(table, SPAN_LITERAL("anna"), epoch);
    inbox->head = 20;
    inbox_set_written(inbox, 7);
    inbox_set_written(inbox, 5);
    cr_assert_eq(inbox_written(inbox), 7);
    inbox_set_acked(inbox, 4);
    cr_assert_eq(inbox_written(inbox), 7);
    inbox_set_acked(inbox, 12);
    cr_assert_eq(inbox_written(inbox), 12);
    inbox_table_free(table);
}

Test(inbox, a_new_epoch_keeps_the_devices_and_forgets_the_causes)
{
    struct inbox_table *table = new_table();
    struct inbox *inbox = inbox_add(table, SPAN_LITERAL("anna"), epoch);
    inbox->head = 9;
    inbox->acked = 3;
    inbox_add_gap(inbox, 4, GAP_EXPIRED);
    cr_assert_eq(inbox_reserve_device(inbox), ERR_OK);
    devices_add(inbox_devices(inbox), SPAN_LITERAL("phone"), 5, 100);
    cr_assert_eq(inbox_devices(inbox)->shared, 3, "the shared position begins at acked");
    inbox_reset(inbox, (struct epoch){"hgfedcba"});
    cr_assert_null(inbox_gaps(inbox));
    cr_assert_eq(devices_find(inbox_devices(inbox), SPAN_LITERAL("phone"))->position, 0);
    cr_assert_eq(inbox_devices(inbox)->shared, 0);
    inbox_drop_devices(inbox);
    cr_assert_null(inbox->more, "who has neither takes no memory for them");
    inbox_table_free(table);
}

Test(devices, stand_in_the_order_in_which_they_were_seen)
{
    struct devices *devices = NULL;
    cr_assert_eq(devices_reserve(&devices, 0), ERR_OK);
    devices_add(devices, SPAN_LITERAL("a"), 1, 10);
    cr_assert_eq(devices_reserve(&devices, 0), ERR_OK);
    devices_add(devices, SPAN_LITERAL("b"), 2, 10);
    struct device *seen = devices_see(devices, devices_find(devices, SPAN_LITERAL("a")), 11);
    cr_assert_eq(seen->position, 1);
    cr_assert_eq(seen->day, 11);
    cr_assert_eq(devices_lowest(devices, false), 1);
    cr_assert_eq(devices_lowest(devices, true), 0);
    devices_drop_oldest(devices);
    cr_assert_null(devices_find(devices, SPAN_LITERAL("b")));
    cr_assert_not_null(devices_find(devices, SPAN_LITERAL("a")));
    devices_drop_oldest(devices);
    cr_assert_eq(devices_lowest(devices, false), 0, "without devices the shared one counts");
    free(devices);
}

static const struct idempotency *find_key(const struct idempotency_table *keys, int number)
{
    char user[16];
    char key[16];
    snprintf(key, sizeof key, "key-%d", number);
    return idempotency_find(keys, name_of(number % 100, user), span_of(key));
}

static void add_key(struct idempotency_table *keys, int number, uint64_t seq)
{
    char user[16];
    char key[16];
    struct idempotency entry = {.seq = seq};
    snprintf(key, sizeof key, "key-%d", number);
    cr_assert_not_null(idempotency_add(keys, name_of(number % 100, user), span_of(key), &entry));
}

Test(idempotency, finds_every_key_while_the_oldest_leave)
{
    enum { KEYS = 5000, KEPT = 700 };
    struct idempotency_table *keys;
    cr_assert_eq(hash_init(), ERR_OK);
    cr_assert_eq(idempotency_table_new(&keys), ERR_OK);
    for (int i = 0; i < KEYS; i++) {
        add_key(keys, i, (uint64_t)i);
        if (i >= KEPT)
            idempotency_drop_oldest(keys);
        cr_assert_eq(find_key(keys, i)->seq, (uint64_t)i);
        cr_assert_null(find_key(keys, i - KEPT));
    }
    cr_assert_eq(idempotency_table_count(keys), KEPT);
    cr_assert_eq(idempotency_oldest(keys)->seq, KEYS - KEPT);
    for (int i = KEYS - KEPT; i < KEYS; i++)
        cr_assert_eq(find_key(keys, i)->seq, (uint64_t)i);
    idempotency_table_clear(keys);
    cr_assert_null(find_key(keys, KEYS - 1));
    cr_assert_null(idempotency_oldest(keys));
    add_key(keys, 1, 1);
    cr_assert_not_null(find_key(keys, 1));
    idempotency_table_free(keys);
}

Test(idempotency, the_latest_of_one_key_counts_while_the_table_grows)
{
    struct idempotency_table *keys;
    cr_assert_eq(hash_init(), ERR_OK);
    cr_assert_eq(idempotency_table_new(&keys), ERR_OK);
    for (int i = 0; i < 300; i++)
        add_key(keys, i, 1);
    for (int i = 0; i < 300; i++)
        add_key(keys, i, 2);
    for (int i = 300; i < 3000; i++)
        add_key(keys, i, 1);
    for (int i = 0; i < 300; i++)
        cr_assert_eq(find_key(keys, i)->seq, 2);
    for (int i = 0; i < 300; i++)
        idempotency_drop_oldest(keys);
    for (int i = 0; i < 300; i++)
        cr_assert_eq(find_key(keys, i)->seq, 2, "its older one has left");
    idempotency_table_free(keys);
}

Test(idempotency, a_user_and_a_key_are_not_taken_for_others_of_the_same_bytes)
{
    struct idempotency_table *keys;
    struct idempotency entry = {.seq = 1};
    cr_assert_eq(hash_init(), ERR_OK);
    cr_assert_eq(idempotency_table_new(&keys), ERR_OK);
    cr_assert_not_null(idempotency_add(keys, SPAN_LITERAL("ab"), SPAN_LITERAL("c"), &entry));
    cr_assert_null(idempotency_find(keys, SPAN_LITERAL("a"), SPAN_LITERAL("bc")));
    idempotency_table_free(keys);
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
