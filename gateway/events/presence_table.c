#include "gateway/events/presence_table.h"

#include "gateway/base/hash.h"

#include <stdlib.h>
#include <string.h>

struct entry {
    struct hash_link link;
    struct list order;
    uint64_t hash;
    bool has_come;
    bool has_left;  /* with has_come: after that */
    bool is_unsure; /* without has_come: the record may not have the user */
    enum offline_cause cause;
    int64_t came_ms;
    int64_t last_seen_ms;
    size_t user_id_len;
    size_t event_len;
    char text[]; /* the userId, then the event */
};

static uint64_t hash_of_entry(const struct hash_link *link)
{
    return CONTAINER_OF(link, const struct entry, link)->hash;
}

static struct span user_of(const struct entry *entry)
{
    return (struct span){entry->text, entry->user_id_len};
}

enum err presence_table_init(struct presence_table *table)
{
    list_init(&table->order);
    table->n = 0;
    return hash_table_init(&table->users, hash_of_entry);
}

static void free_entry(struct hash_link *link)
{
    free(CONTAINER_OF(link, struct entry, link));
}

void presence_table_fini(struct presence_table *table)
{
    hash_table_clear(&table->users, free_entry);
    hash_table_fini(&table->users);
}

static struct entry *find_entry(const struct presence_table *table, struct span user_id,
                                uint64_t hash)
{
    HASH_TABLE_FOR_EACH_IN(link, &table->users, hash_table_bucket(&table->users, hash))
    {
        struct entry *entry = CONTAINER_OF(link, struct entry, link);
        if (entry->hash == hash && span_equal(user_of(entry), user_id))
            return entry;
    }
    return NULL;
}

static void take_out(struct presence_table *table, struct entry *entry)
{
    hash_table_remove(&table->users, &entry->link);
    list_remove(&entry->order);
    table->n--;
}

static enum err add_entry(struct presence_table *table, struct span user_id, uint64_t hash,
                          struct span event, struct entry **ret_entry)
{
    if (table->n >= PRESENCE_TABLE_MAX)
        return ERR_FULL;
    struct entry *entry = calloc(1, sizeof *entry + user_id.len + event.len);
    if (entry == NULL)
        return ERR_NO_MEMORY;
    entry->hash = hash;
    entry->user_id_len = user_id.len;
    entry->event_len = event.len;
    memcpy(entry->text, user_id.bytes, user_id.len);
    if (event.len > 0)
        memcpy(entry->text + user_id.len, event.bytes, event.len);
    hash_table_add(&table->users, &entry->link);
    list_append(&table->order, &entry->order);
    table->n++;
    *ret_entry = entry;
    return ERR_OK;
}

enum err presence_table_came(struct presence_table *table, struct span user_id, struct span event,
                             int64_t came_ms)
{
    uint64_t hash = hash_bytes(user_id);
    struct entry *entry = find_entry(table, user_id, hash);
    bool is_nothing = entry != NULL && !entry->has_come && !entry->is_unsure;
    if (entry != NULL) {
        if (entry->has_come)
            came_ms = entry->came_ms; /* the absence that the record may know ended then */
        take_out(table, entry);
        free(entry);
    }
    if (is_nothing)
        return ERR_OK;
    enum err error = add_entry(table, user_id, hash, event, &entry);
    if (error != ERR_OK)
        return error;
    entry->has_come = true;
    entry->came_ms = came_ms;
    return ERR_OK;
}

enum err presence_table_left(struct presence_table *table, struct span user_id,
                             int64_t last_seen_ms, enum offline_cause cause, bool is_unsure)
{
    uint64_t hash = hash_bytes(user_id);
    struct entry *entry = find_entry(table, user_id, hash);
    enum err error = ERR_OK;
    if (entry == NULL)
        error = add_entry(table, user_id, hash, SPAN_NONE, &entry);
    if (error != ERR_OK)
        return error;
    entry->has_left = true;
    entry->is_unsure |= is_unsure;
    entry->last_seen_ms = last_seen_ms;
    entry->cause = cause;
    return ERR_OK;
}

void presence_table_doubt(struct presence_table *table)
{
    LIST_FOR_EACH(link, &table->order)
    {
        CONTAINER_OF(link, struct entry, order)->is_unsure = true;
    }
}

void presence_table_clear(struct presence_table *table)
{
    hash_table_clear(&table->users, free_entry);
    list_init(&table->order);
    table->n = 0;
}

bool presence_table_has(const struct presence_table *table, struct span user_id)
{
    return find_entry(table, user_id, hash_bytes(user_id)) != NULL;
}

/* ---- batches ---- */

void presence_batch_init(struct presence_batch *batch)
{
    list_init(&batch->entries);
    batch->n = 0;
}

static void add_changes(struct presence_batch *batch, const struct entry *entry)
{
    if (entry->has_come)
        batch->changes[batch->n++] = (struct store_presence_change){
            .user_id = user_of(entry),
            .is_here = true,
            .came_ms = entry->came_ms,
            .event = {entry->text + entry->user_id_len, entry->event_len}};
    if (entry->has_left)
        batch->changes[batch->n++] = (struct store_presence_change){
            .user_id = user_of(entry), .last_seen_ms = entry->last_seen_ms, .cause = entry->cause};
}

void presence_batch_take(struct presence_batch *batch, struct presence_table *table)
{
    size_t bytes = 0;
    while (!list_is_empty(&table->order) && batch->n + 2 <= PRESENCE_BATCH_MAX &&
           bytes < PRESENCE_BATCH_BYTES) {
        struct entry *entry = CONTAINER_OF(table->order.next, struct entry, order);
        take_out(table, entry);
        list_append(&batch->entries, &entry->order);
        add_changes(batch, entry);
        bytes += entry->user_id_len + entry->event_len;
    }
}

void presence_batch_clear(struct presence_batch *batch)
{
    while (!list_is_empty(&batch->entries)) {
        struct entry *entry = CONTAINER_OF(batch->entries.next, struct entry, order);
        list_remove(&entry->order);
        free(entry);
    }
    batch->n = 0;
}
