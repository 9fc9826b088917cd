#include "gateway/stores/local/idempotency.h"

#include "gateway/base/hash.h"
#include "gateway/base/list.h"
#include "proto/bytes/user_id.h"

#include <assert.h>
#include <stdlib.h>

struct idempotency_table {
    struct hash_table entries; /* by hash[0]; the latest of one key stands first */
    struct idempotency *oldest;
    struct idempotency *youngest;
};

static struct idempotency *idempotency_of(const struct hash_link *link)
{
    return CONTAINER_OF(link, struct idempotency, link);
}

static uint64_t idempotency_hash(const struct hash_link *link)
{
    return idempotency_of(link)->hash[0];
}

enum err idempotency_table_new(struct idempotency_table **ret_table)
{
    struct idempotency_table *table = calloc(1, sizeof *table);
    if (table == NULL)
        return ERR_NO_MEMORY;
    enum err error = hash_table_init(&table->entries, idempotency_hash);
    if (error != ERR_OK) {
        free(table);
        return error;
    }
    *ret_table = table;
    return ERR_OK;
}

static void free_idempotency(struct hash_link *link)
{
    free(idempotency_of(link));
}

void idempotency_table_clear(struct idempotency_table *table)
{
    hash_table_clear(&table->entries, free_idempotency);
    table->oldest = NULL;
    table->youngest = NULL;
}

void idempotency_table_free(struct idempotency_table *table)
{
    if (table == NULL)
        return;
    idempotency_table_clear(table);
    hash_table_fini(&table->entries);
    free(table);
}

size_t idempotency_table_count(const struct idempotency_table *table)
{
    return table->entries.n_links;
}

/* Two hashes of the same bytes after different first bytes are independent of each other. */
static void hash_key(struct span user_id, struct span key, uint64_t ret_hash[2])
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

const struct idempotency *idempotency_find(const struct idempotency_table *table,
                                           struct span user_id, struct span key)
{
    uint64_t hash[2];
    hash_key(user_id, key, hash);
    HASH_TABLE_FOR_EACH_IN(link, &table->entries, hash_table_bucket(&table->entries, hash[0]))
    {
        const struct idempotency *entry = idempotency_of(link);
        if (entry->hash[0] == hash[0] && entry->hash[1] == hash[1])
            return entry;
    }
    return NULL;
}

struct idempotency *idempotency_add(struct idempotency_table *table, struct span user_id,
                                    struct span key, const struct idempotency *entry)
{
    struct idempotency *added = malloc(sizeof *added);
    if (added == NULL)
        return NULL;
    *added = *entry;
    hash_key(user_id, key, added->hash);
    hash_table_add(&table->entries, &added->link);
    added->later = NULL;
    if (table->youngest == NULL)
        table->oldest = added;
    else
        table->youngest->later = added;
    table->youngest = added;
    return added;
}

const struct idempotency *idempotency_oldest(const struct idempotency_table *table)
{
    return table->oldest;
}

void idempotency_drop_oldest(struct idempotency_table *table)
{
    struct idempotency *oldest = table->oldest;
    hash_table_remove(&table->entries, &oldest->link);
    table->oldest = oldest->later;
    if (table->oldest == NULL)
        table->youngest = NULL;
    free(oldest);
}
