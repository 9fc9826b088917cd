/* Intrusive hash tables: the link is a member of the linked object. The table uses linear hashing:
 * each added link splits one bucket, so that growth never blocks the owner for as long as moving a
 * million links at once would take. Not thread-safe.
 *
 * Memory: 8 to 16 bytes per link. Links with the same hash are in one bucket, the latest first. */
#ifndef HERALD_BASE_HASH_TABLE_H
#define HERALD_BASE_HASH_TABLE_H

#include "proto/error.h"

#include <stddef.h>
#include <stdint.h>

struct hash_link {
    struct hash_link *next; /* in its bucket */
};

typedef uint64_t hash_link_hash_fn(const struct hash_link *link);

struct hash_table {
    hash_link_hash_fn *hash_of;
    struct hash_link **buckets;
    size_t n_links;
    size_t n_buckets; /* about the highest number of links since the last hash_table_fit */
    size_t cap;
    size_t level; /* a power of two; level <= n_buckets < 2 * level */
};

/* hash_of returns the hash of a link, always the same. ERR_NO_MEMORY: nothing needs to be freed. */
MUST_CHECK enum err hash_table_init(struct hash_table *table, hash_link_hash_fn *hash_of);
/* Frees the buckets; the links belong to their owner. */
void hash_table_fini(struct hash_table *table);

/* Cannot fail: without memory for more buckets only the chains grow longer. */
void hash_table_add(struct hash_table *table, struct hash_link *link);
/* For an owner that adds many at once, and may take its time for it. Of a table without links: it
 * has room for so many before it splits a bucket; without memory it stays as it is. Then, when all
 * are added: gives back the room of those that did not come. */
void hash_table_reserve(struct hash_table *table, size_t n_links);
void hash_table_fit(struct hash_table *table);

/* The link must be in the table. */
void hash_table_remove(struct hash_table *table, struct hash_link *link);

/* Empties the table and calls `on_link` with each link, which it may free. */
void hash_table_clear(struct hash_table *table, void (*on_link)(struct hash_link *link));

static inline size_t hash_table_bucket(const struct hash_table *table, uint64_t hash)
{
    size_t bucket = (size_t)hash & (2 * table->level - 1);
    return bucket < table->n_buckets ? bucket : bucket - table->level;
}

/* Iterates over the links of a bucket; the body may remove `link`, but no other. The links with
 * hash h are in the bucket hash_table_bucket(table, h), together with others. */
#define HASH_TABLE_FOR_EACH_IN(link, table, bucket)                                                \
    for (struct hash_link *link = (table)->buckets[bucket],                                        \
                          *link##_next = link == NULL ? NULL : link->next;                         \
         link != NULL; link = link##_next, link##_next = link == NULL ? NULL : link->next)

#endif
