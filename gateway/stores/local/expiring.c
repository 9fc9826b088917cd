#include "gateway/stores/local/expiring.h"

#include "gateway/base/hash.h"
#include "gateway/base/list.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct expiring_table {
    struct hash_table entries;
    size_t max;
};

static struct expiring *expiring_of(const struct hash_link *link)
{
    return CONTAINER_OF(link, struct expiring, link);
}

static uint64_t expiring_hash(const struct hash_link *link)
{
    return expiring_of(link)->hash;
}

enum err expiring_table_new(size_t max, struct expiring_table **ret_table)
{
    struct expiring_table *table = calloc(1, sizeof *table);
    if (table == NULL)
        return ERR_NO_MEMORY;
    enum err error = hash_table_init(&table->entries, expiring_hash);
    if (error != ERR_OK) {
        free(table);
        return error;
    }
    table->max = max;
    *ret_table = table;
    return ERR_OK;
}

static void free_expiring(struct hash_link *link)
{
    free(expiring_of(link));
}

void expiring_table_clear(struct expiring_table *table)
{
    hash_table_clear(&table->entries, free_expiring);
}

void expiring_table_free(struct expiring_table *table)
{
    if (table == NULL)
        return;
    expiring_table_clear(table);
    hash_table_fini(&table->entries);
    free(table);
}

size_t expiring_table_count(const struct expiring_table *table)
{
    return table->entries.n_links;
}

struct expiring *expiring_find(const struct expiring_table *table, struct span key)
{
    uint64_t hash = hash_bytes(key);
    HASH_TABLE_FOR_EACH_IN(link, &table->entries, hash_table_bucket(&table->entries, hash))
    {
        struct expiring *entry = expiring_of(link);
        if (entry->hash == hash && span_equal(expiring_key(entry), key))
            return entry;
    }
    return NULL;
}

enum err expiring_add(struct expiring_table *table, struct span key, struct span value,
                      int64_t until_ms, struct expiring **ret_entry)
{
    assert(key.len <= EXPIRING_TEXT_MAX_BYTES && value.len <= EXPIRING_TEXT_MAX_BYTES);
    if (table->entries.n_links == table->max)
        return ERR_FULL;
    struct expiring *entry = calloc(1, sizeof *entry + key.len + value.len);
    if (entry == NULL)
        return ERR_NO_MEMORY;
    entry->hash = hash_bytes(key);
    entry->until_ms = until_ms;
    entry->key_len = (uint8_t)key.len;
    entry->value_len = (uint8_t)value.len;
    memcpy(entry->bytes, key.bytes, key.len);
    if (value.len > 0)
        memcpy(entry->bytes + key.len, value.bytes, value.len);
    hash_table_add(&table->entries, &entry->link);
    *ret_entry = entry;
    return ERR_OK;
}

void expiring_remove(struct expiring_table *table, struct expiring *entry)
{
    hash_table_remove(&table->entries, &entry->link);
    free(entry);
}

void expiring_visit(struct expiring_table *table,
                    void (*visit)(void *owner, struct expiring *entry), void *owner)
{
    for (size_t i = 0; i < table->entries.n_buckets; i++) {
        HASH_TABLE_FOR_EACH_IN(link, &table->entries, i)
        {
            visit(owner, expiring_of(link));
        }
    }
}
