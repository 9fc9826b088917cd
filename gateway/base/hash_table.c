#include "gateway/base/hash_table.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>

enum { FIRST_BUCKETS = 64 };

enum err hash_table_init(struct hash_table *table, hash_link_hash_fn *hash_of)
{
    struct hash_link **buckets = calloc(FIRST_BUCKETS, sizeof(struct hash_link *));
    if (buckets == NULL)
        return ERR_NO_MEMORY;
    *table = (struct hash_table){
        .hash_of = hash_of,
        .buckets = buckets,
        .n_buckets = FIRST_BUCKETS,
        .cap = FIRST_BUCKETS,
        .level = FIRST_BUCKETS,
    };
    return ERR_OK;
}

void hash_table_fini(struct hash_table *table)
{
    free(table->buckets);
    table->buckets = NULL;
}

static bool has_spare_bucket(struct hash_table *table)
{
    if (table->n_buckets < table->cap)
        return true;
    size_t bytes = 2 * table->cap * sizeof *table->buckets; /* NOLINT(bugprone-sizeof-expression) */
    struct hash_link **more = realloc(table->buckets, bytes);
    if (more == NULL)
        return false;
    table->buckets = more;
    table->cap *= 2;
    return true;
}

/* Splits bucket b of a level into b and b + level; about half of its chain moves to the second. */
static void split_one_bucket(struct hash_table *table)
{
    if (!has_spare_bucket(table))
        return;
    size_t added = table->n_buckets++;
    struct hash_link **stays = &table->buckets[added - table->level];
    struct hash_link **moves = &table->buckets[added];
    for (struct hash_link *link = *stays; link != NULL; link = link->next) {
        struct hash_link ***end =
            hash_table_bucket(table, table->hash_of(link)) == added ? &moves : &stays;
        **end = link;
        *end = &link->next;
    }
    *stays = NULL;
    *moves = NULL;
    if (table->n_buckets == 2 * table->level)
        table->level *= 2;
}

void hash_table_add(struct hash_table *table, struct hash_link *link)
{
    struct hash_link **bucket = &table->buckets[hash_table_bucket(table, table->hash_of(link))];
    link->next = *bucket;
    *bucket = link;
    if (++table->n_links > table->n_buckets)
        split_one_bucket(table);
}

/* So many buckets, all of them empty. false: out of memory, and nothing has changed. */
static bool set_buckets(struct hash_table *table, size_t n)
{
    struct hash_link **buckets = calloc(n, sizeof(struct hash_link *));
    if (buckets == NULL)
        return false;
    free(table->buckets);
    table->buckets = buckets;
    table->n_buckets = n;
    table->cap = n;
    table->level = FIRST_BUCKETS;
    while (2 * table->level <= n)
        table->level *= 2;
    return true;
}

void hash_table_reserve(struct hash_table *table, size_t n_links)
{
    assert(table->n_links == 0);
    if (n_links > table->n_buckets)
        (void)set_buckets(table, n_links);
}

static struct hash_link *reverse_chain(struct hash_link *chain)
{
    struct hash_link *reversed = NULL;
    while (chain != NULL) {
        struct hash_link *next = chain->next;
        chain->next = reversed;
        reversed = chain;
        chain = next;
    }
    return reversed;
}

void hash_table_fit(struct hash_table *table)
{
    struct hash_table before = *table;
    size_t wanted = table->n_links < FIRST_BUCKETS ? FIRST_BUCKETS : table->n_links;
    if (table->n_buckets / 2 < wanted)
        return;
    table->buckets = NULL;
    if (!set_buckets(table, wanted)) {
        *table = before;
        return;
    }
    for (size_t i = 0; i < before.n_buckets; i++) {
        struct hash_link *link = reverse_chain(before.buckets[i]); /* the latest stays the first */
        while (link != NULL) {
            struct hash_link *next = link->next;
            struct hash_link **bucket =
                &table->buckets[hash_table_bucket(table, table->hash_of(link))];
            link->next = *bucket;
            *bucket = link;
            link = next;
        }
    }
    free(before.buckets);
}

void hash_table_remove(struct hash_table *table, struct hash_link *link)
{
    struct hash_link **at = &table->buckets[hash_table_bucket(table, table->hash_of(link))];
    while (*at != link)
        at = &(*at)->next;
    *at = link->next;
    table->n_links--;
}

void hash_table_clear(struct hash_table *table, void (*on_link)(struct hash_link *link))
{
    for (size_t i = 0; i < table->n_buckets; i++) {
        struct hash_link *link = table->buckets[i];
        table->buckets[i] = NULL;
        while (link != NULL) {
            struct hash_link *next = link->next;
            on_link(link);
            link = next;
        }
    }
    table->n_links = 0;
}
