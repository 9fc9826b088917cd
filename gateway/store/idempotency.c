/* The table hashes linearly, as that of inbox.c: each key added splits one bucket, so that growing
 * never stops the store. */
#include "gateway/store/idempotency.h"

#include "gateway/base/hash.h"
#include "proto/user_id.h"

#include <assert.h>
#include <stdlib.h>

enum { FIRST_BUCKETS = 64 };

struct idempotency_table {
    struct idempotency **buckets;
    size_t n_buckets;
    size_t cap;
    size_t level; /* a power of two; level <= n_buckets < 2 * level */
    size_t n;
    struct idempotency *oldest;
    struct idempotency *youngest;
};

enum err idempotency_table_new(struct idempotency_table **ret_table)
{
    struct idempotency_table *table = calloc(1, sizeof *table);
    if (table == NULL)
        return ERR_NO_MEMORY;
    table->buckets = calloc(FIRST_BUCKETS, sizeof(struct idempotency *));
    if (table->buckets == NULL) {
        free(table);
        return ERR_NO_MEMORY;
    }
    table->cap = FIRST_BUCKETS;
    table->n_buckets = FIRST_BUCKETS;
    table->level = FIRST_BUCKETS;
    *ret_table = table;
    return ERR_OK;
}

void idempotency_table_clear(struct idempotency_table *table)
{
    while (table->oldest != NULL) {
        struct idempotency *entry = table->oldest;
        table->oldest = entry->later;
        free(entry);
    }
    table->youngest = NULL;
    table->n = 0;
    memset(table->buckets, 0, table->n_buckets * sizeof *table->buckets);
}

void idempotency_table_free(struct idempotency_table *table)
{
    if (table == NULL)
        return;
    idempotency_table_clear(table);
    free(table->buckets);
    free(table);
}

size_t idempotency_table_count(const struct idempotency_table *table)
{
    return table->n;
}

/* Two hashes of the same bytes behind different first ones are independent of each other. */
static void hash_of(struct span user_id, struct span key, uint64_t ret_hash[2])
{
    char bytes[2 + USER_ID_MAX_BYTES + IDEMPOTENCY_KEY_MAX_BYTES];
    assert(user_id.len <= USER_ID_MAX_BYTES && key.len <= IDEMPOTENCY_KEY_MAX_BYTES);
    bytes[1] = (char)(unsigned char)user_id.len;
    memcpy(bytes + 2, user_id.bytes, user_id.len);
    memcpy(bytes + 2 + user_id.len, key.bytes, key.len);
    for (int i = 0; i < 2; i++) {
        bytes[0] = (char)i;
        ret_hash[i] = hash_bytes((struct span){bytes, 2 + user_id.len + key.len});
    }
}

static struct idempotency **bucket_of(const struct idempotency_table *table, const uint64_t hash[2])
{
    size_t bucket = (size_t)hash[0] & (2 * table->level - 1);
    if (bucket >= table->n_buckets)
        bucket -= table->level;
    return &table->buckets[bucket];
}

const struct idempotency *idempotency_find(const struct idempotency_table *table,
                                           struct span user_id, struct span key)
{
    uint64_t hash[2];
    hash_of(user_id, key, hash);
    const struct idempotency *entry = *bucket_of(table, hash);
    while (entry != NULL && (entry->hash[0] != hash[0] || entry->hash[1] != hash[1]))
        entry = entry->next;
    return entry;
}

/* Without memory for more buckets the chains only grow longer. */
static bool has_spare_bucket(struct idempotency_table *table)
{
    if (table->n_buckets < table->cap)
        return true;
    struct idempotency **more = realloc(table->buckets, 2 * table->cap * sizeof *more);
    if (more == NULL)
        return false;
    table->buckets = more;
    table->cap *= 2;
    return true;
}

/* The order within a chain stays: the latest of one key stands first. */
static void split_one_bucket(struct idempotency_table *table)
{
    if (!has_spare_bucket(table))
        return;
    struct idempotency **stays = &table->buckets[table->n_buckets - table->level];
    struct idempotency **moves = &table->buckets[table->n_buckets++];
    struct idempotency **new_bucket = moves;
    struct idempotency *chain = *stays;
    while (chain != NULL) {
        struct idempotency *entry = chain;
        chain = entry->next;
        struct idempotency ***end = bucket_of(table, entry->hash) == new_bucket ? &moves : &stays;
        **end = entry;
        *end = &entry->next;
    }
    *stays = NULL;
    *moves = NULL;
    if (table->n_buckets == 2 * table->level)
        table->level *= 2;
}

struct idempotency *idempotency_add(struct idempotency_table *table, struct span user_id,
                                    struct span key, const struct idempotency *entry)
{
    struct idempotency *added = malloc(sizeof *added);
    if (added == NULL)
        return NULL;
    *added = *entry;
    hash_of(user_id, key, added->hash);
    struct idempotency **bucket = bucket_of(table, added->hash);
    added->next = *bucket;
    *bucket = added;
    added->later = NULL;
    if (table->youngest == NULL)
        table->oldest = added;
    else
        table->youngest->later = added;
    table->youngest = added;
    if (++table->n > table->n_buckets)
        split_one_bucket(table);
    return added;
}

const struct idempotency *idempotency_oldest(const struct idempotency_table *table)
{
    return table->oldest;
}

void idempotency_drop_oldest(struct idempotency_table *table)
{
    struct idempotency *oldest = table->oldest;
    struct idempotency **link = bucket_of(table, oldest->hash);
    while (*link != oldest)
        link = &(*link)->next;
    *link = oldest->next;
    table->oldest = oldest->later;
    if (table->oldest == NULL)
        table->youngest = NULL;
    table->n--;
    free(oldest);
}
