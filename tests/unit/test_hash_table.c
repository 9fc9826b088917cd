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
