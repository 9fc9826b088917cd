/* Intrusive hash tables: the link is a member of what is linked. The table hashes linearly: each
 * link added splits one bucket, so that growing never stops its owner for as long as it would take
 * to move a million links at once. Not thread-safe.
 *
 * Memory: 8 to 16 bytes a link. Links with one hash stand in one bucket, the latest first. */
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
    size_t n_buckets; /* about as many as there ever were links; never fewer again */
    size_t cap;
    size_t level; /* a power of two; level <= n_buckets < 2 * level */
};

/* hash_of: the hash that a link was added with. ERR_NO_MEMORY: there is nothing to fini. */
MUST_CHECK enum err hash_table_init(struct hash_table *table, hash_link_hash_fn *hash_of);
/* The links stay with their owner. */
void hash_table_fini(struct hash_table *table);

/* Cannot fail: without memory for more buckets the chains only grow longer. */
void hash_table_add(struct hash_table *table, struct hash_link *link);
/* The link must be in the table. */
void hash_table_remove(struct hash_table *table, struct hash_link *link);

/* Empties the table, and gives each link to `on_link`, which may free it. */
void hash_table_clear(struct hash_table *table, void (*on_link)(struct hash_link *link));

static inline size_t hash_table_bucket(const struct hash_table *table, uint64_t hash)
{
    size_t bucket = (size_t)hash & (2 * table->level - 1);
    return bucket < table->n_buckets ? bucket : bucket - table->level;
}

/* The links of a bucket; the body may remove `link`, and no other. Those of a hash h are in
 * hash_table_bucket(table, h), with others. */
#define HASH_TABLE_FOR_EACH_IN(link, table, bucket)                                                \
    for (struct hash_link *link = (table)->buckets[bucket],                                        \
                          *link##_next = link == NULL ? NULL : link->next;                         \
         link != NULL; link = link##_next, link##_next = link == NULL ? NULL : link->next)

#endif
