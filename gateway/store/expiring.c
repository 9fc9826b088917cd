/* Chains in buckets, which double when there are as many entries: the table is small enough that
 * moving all of them at once stops nobody for long. */
#include "gateway/store/expiring.h"

#include "gateway/base/hash.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_BUCKETS = 64 };

struct expiring_table {
    struct expiring **buckets;
    size_t n_buckets; /* a power of two */
    size_t n;
    size_t max;
};

enum err expiring_table_new(size_t max, struct expiring_table **ret_table)
{
    struct expiring_table *table = calloc(1, sizeof *table);
    if (table == NULL)
        return ERR_NO_MEMORY;
    table->buckets = calloc(FIRST_BUCKETS, sizeof(struct expiring *));
    if (table->buckets == NULL) {
        free(table);
        return ERR_NO_MEMORY;
    }
    table->n_buckets = FIRST_BUCKETS;
    table->max = max;
    *ret_table = table;
    return ERR_OK;
}

static void free_entry(void *owner, struct expiring *entry)
{
    (void)owner;
    free(entry);
}

void expiring_table_clear(struct expiring_table *table)
{
    expiring_visit(table, free_entry, NULL);
    memset(table->buckets, 0, table->n_buckets * sizeof *table->buckets);
    table->n = 0;
}

void expiring_table_free(struct expiring_table *table)
{
    if (table == NULL)
        return;
    expiring_table_clear(table);
    free(table->buckets);
    free(table);
}

size_t expiring_table_count(const struct expiring_table *table)
{
    return table->n;
}

static struct expiring **bucket_of(const struct expiring_table *table, uint64_t hash)
{
    return &table->buckets[hash & (table->n_buckets - 1)];
}

struct expiring *expiring_find(const struct expiring_table *table, struct span key)
{
    uint64_t hash = hash_bytes(key);
    struct expiring *entry = *bucket_of(table, hash);
    while (entry != NULL && (entry->hash != hash || !span_equal(expiring_key(entry), key)))
        entry = entry->next;
    return entry;
}

/* Without memory for more buckets the chains only grow longer. */
static void double_buckets(struct expiring_table *table)
{
    size_t n_old = table->n_buckets;
    struct expiring **old = table->buckets;
    struct expiring **more = calloc(2 * n_old, sizeof(struct expiring *));
    if (more == NULL)
        return;
    table->buckets = more;
    table->n_buckets = 2 * n_old;
    for (size_t i = 0; i < n_old; i++) {
        while (old[i] != NULL) {
            struct expiring *entry = old[i];
            old[i] = entry->next;
            struct expiring **bucket = bucket_of(table, entry->hash);
            entry->next = *bucket;
            *bucket = entry;
        }
    }
    free(old);
}

enum err expiring_add(struct expiring_table *table, struct span key, struct span value,
                      int64_t until_ms, struct expiring **ret_entry)
{
    assert(key.len <= EXPIRING_TEXT_MAX_BYTES && value.len <= EXPIRING_TEXT_MAX_BYTES);
    if (table->n == table->max)
        return ERR_FULL;
    struct expiring *entry = calloc(1, sizeof *entry + key.len + value.len);
    if (entry == NULL)
        return ERR_NO_MEMORY;
    if (table->n == table->n_buckets)
        double_buckets(table);
    entry->hash = hash_bytes(key);
    entry->until_ms = until_ms;
    entry->key_len = (uint8_t)key.len;
    entry->value_len = (uint8_t)value.len;
    memcpy(entry->bytes, key.bytes, key.len);
    if (value.len > 0)
        memcpy(entry->bytes + key.len, value.bytes, value.len);
    struct expiring **bucket = bucket_of(table, entry->hash);
    entry->next = *bucket;
    *bucket = entry;
    table->n++;
    *ret_entry = entry;
    return ERR_OK;
}

void expiring_remove(struct expiring_table *table, struct expiring *entry)
{
    struct expiring **link = bucket_of(table, entry->hash);
    while (*link != entry)
        link = &(*link)->next;
    *link = entry->next;
    table->n--;
    free(entry);
}

void expiring_visit(struct expiring_table *table,
                    void (*visit)(void *owner, struct expiring *entry), void *owner)
{
    for (size_t i = 0; i < table->n_buckets; i++) {
        struct expiring *entry = table->buckets[i];
        while (entry != NULL) {
            struct expiring *next = entry->next;
            visit(owner, entry);
            entry = next;
        }
    }
}
