#include "gateway/base/hash_table.h"

#include "gateway/base/list.h"

#include <criterion/criterion.h>
#include <stdlib.h>

enum { N_ITEMS = 1000 };

struct item {
    struct hash_link link;
    uint64_t hash;
    size_t n_seen;
};

static struct hash_table table;
static struct item items[N_ITEMS];

static struct item *item_of(const struct hash_link *link)
{
    return CONTAINER_OF(link, struct item, link);
}

static uint64_t hash_of(const struct hash_link *link)
{
    return item_of(link)->hash;
}

static void setup(void)
{
    cr_assert_eq(hash_table_init(&table, hash_of), ERR_OK);
    for (size_t i = 0; i < N_ITEMS; i++)
        items[i].hash = i * UINT64_C(0x9e3779b97f4a7c15);
}

static void teardown(void)
{
    hash_table_fini(&table);
}

static struct item *first_of(uint64_t hash)
{
    HASH_TABLE_FOR_EACH_IN(link, &table, hash_table_bucket(&table, hash))
    {
        if (item_of(link)->hash == hash)
            return item_of(link);
    }
    return NULL;
}

static void see(struct hash_link *link)
{
    item_of(link)->n_seen++;
}

TestSuite(hash_table, .init = setup, .fini = teardown);

Test(hash_table, finds_each_link_after_every_split)
{
    for (size_t n = 0; n < N_ITEMS; n++) {
        hash_table_add(&table, &items[n].link);
        for (size_t i = 0; i <= n; i++)
            cr_assert_eq(first_of(items[i].hash), &items[i], "%zu of %zu", i, n);
    }
    cr_assert_eq(table.n_links, N_ITEMS);
    cr_assert_eq(table.n_buckets, N_ITEMS);
}

Test(hash_table, finds_no_link_that_was_removed)
{
    for (size_t i = 0; i < N_ITEMS; i++)
        hash_table_add(&table, &items[i].link);
    for (size_t i = 0; i < N_ITEMS; i += 2)
        hash_table_remove(&table, &items[i].link);
    for (size_t i = 0; i < N_ITEMS; i++)
        cr_assert_eq(first_of(items[i].hash), i % 2 == 0 ? NULL : &items[i], "%zu", i);
    cr_assert_eq(table.n_links, N_ITEMS / 2);
}

Test(hash_table, the_latest_of_one_hash_comes_first_through_all_splits)
{
    for (size_t i = 0; i < N_ITEMS; i++) {
        items[i].hash = items[i % 10].hash;
        hash_table_add(&table, &items[i].link);
        cr_assert_eq(first_of(items[i].hash), &items[i], "%zu", i);
    }
    for (size_t i = N_ITEMS; i-- > 10;) {
        cr_assert_eq(first_of(items[i].hash), &items[i], "%zu", i);
        hash_table_remove(&table, &items[i].link);
    }
}

Test(hash_table, a_bucket_may_lose_the_link_that_is_visited)
{
    for (size_t i = 0; i < N_ITEMS; i++)
        hash_table_add(&table, &items[i].link);
    for (size_t i = 0; i < table.n_buckets; i++) {
        HASH_TABLE_FOR_EACH_IN(link, &table, i)
        {
            see(link);
            hash_table_remove(&table, link);
            link->next = NULL;
        }
    }
    for (size_t i = 0; i < N_ITEMS; i++)
        cr_assert_eq(items[i].n_seen, 1, "%zu", i);
    cr_assert_eq(table.n_links, 0);
}

Test(hash_table, clearing_gives_each_link_once_and_leaves_an_empty_table)
{
    for (size_t i = 0; i < N_ITEMS; i++)
        hash_table_add(&table, &items[i].link);
    hash_table_clear(&table, see);
    for (size_t i = 0; i < N_ITEMS; i++) {
        cr_assert_eq(items[i].n_seen, 1, "%zu", i);
        cr_assert_null(first_of(items[i].hash));
    }
    hash_table_add(&table, &items[7].link);
    cr_assert_eq(first_of(items[7].hash), &items[7]);
    cr_assert_eq(table.n_links, 1);
}

/* ---- many at once ---- */

static void expect_all(size_t n)
{
    cr_assert_eq(table.n_links, n);
    for (size_t i = 0; i < N_ITEMS; i++)
        cr_assert_eq(first_of(items[i].hash), i < n ? &items[i] : NULL);
}

Test(hash_table, a_table_with_room_for_many_finds_each_and_splits_beyond_them)
{
    static const size_t rooms[] = {1, 64, 65, 127, 128, 500, 999, 1000, 3000};
    for (size_t room = 0; room < sizeof rooms / sizeof *rooms; room++) {
        hash_table_fini(&table);
        cr_assert_eq(hash_table_init(&table, hash_of), ERR_OK);
        hash_table_reserve(&table, rooms[room]);
        size_t n_buckets = table.n_buckets;
        cr_assert_geq(n_buckets, rooms[room]);
        for (size_t n = 0; n < N_ITEMS; n++) {
            hash_table_add(&table, &items[n].link);
            if (n < n_buckets)
                cr_assert_eq(table.n_buckets, n_buckets, "nothing is split yet");
        }
        expect_all(N_ITEMS);
    }
}

Test(hash_table, room_for_those_that_did_not_come_is_given_back)
{
    static const size_t counts[] = {0, 1, 63, 64, 65, 100, 333, 500, 501, 1000};
    for (size_t count = 0; count < sizeof counts / sizeof *counts; count++) {
        hash_table_fini(&table);
        cr_assert_eq(hash_table_init(&table, hash_of), ERR_OK);
        hash_table_reserve(&table, N_ITEMS);
        size_t n = counts[count];
        for (size_t i = 0; i < n; i++)
            hash_table_add(&table, &items[i].link);
        hash_table_fit(&table);
        cr_assert_leq(table.n_buckets, n < 32 ? 64 : 2 * n + 1);
        expect_all(n);
        for (size_t i = n; i < N_ITEMS; i++)
            hash_table_add(&table, &items[i].link);
        expect_all(N_ITEMS);
    }
}

Test(hash_table, the_latest_of_a_hash_stays_the_first)
{
    hash_table_reserve(&table, N_ITEMS);
    for (size_t i = 0; i < 10; i++) {
        items[i].hash = 7;
        hash_table_add(&table, &items[i].link);
    }
    hash_table_fit(&table);
    cr_assert_eq(first_of(7), &items[9]);
}
