#include "gateway/stores/redis/redis_sub_table.h"

#include "gateway/base/hash.h"
#include "gateway/base/list.h"

#include <stdlib.h>

static struct redis_sub *sub_of(const struct hash_link *link)
{
    return CONTAINER_OF(link, struct redis_sub, link);
}

static uint64_t sub_hash(const struct hash_link *link)
{
    return sub_of(link)->hash;
}

static bool is_sub_of(const struct redis_sub *sub, struct span user_id, uint32_t hash)
{
    return sub->hash == hash && !sub->is_moved && span_equal(redis_sub_user(sub), user_id);
}

/* The low half has chosen the lane already. */
static uint32_t hash_user(struct span user_id)
{
    return (uint32_t)(hash_bytes(user_id) >> 32);
}

static struct redis_sub *find_late_sub(const struct redis_sub_table *table, struct span user_id,
                                       uint32_t hash)
{
    for (struct hash_link *link = table->late; link != NULL; link = link->next)
        if (is_sub_of(sub_of(link), user_id, hash))
            return sub_of(link);
    return NULL;
}

struct redis_sub *redis_sub_table_find(struct redis_sub_table *table, struct span user_id)
{
    uint32_t hash = hash_user(user_id);
    HASH_TABLE_FOR_EACH_IN(link, &table->users, hash_table_bucket(&table->users, hash))
    {
        if (is_sub_of(sub_of(link), user_id, hash))
            return sub_of(link);
    }
    return find_late_sub(table, user_id, hash);
}

struct redis_sub *redis_sub_table_add(struct redis_sub_table *table, uint16_t shard,
                                      struct span user_id)
{
    struct redis_sub *sub = calloc(1, sizeof *sub + user_id.len);
    if (sub == NULL)
        return NULL;
    sub->hash = hash_user(user_id);
    sub->shard = shard;
    sub->user_len = (uint8_t)user_id.len;
    memcpy(sub->user, user_id.bytes, user_id.len);
    if (table->is_walking) {
        sub->link.next = table->late;
        table->late = &sub->link;
    } else {
        hash_table_add(&table->users, &sub->link);
    }
    return sub;
}

void redis_sub_table_drop(struct redis_sub_table *table, struct redis_sub *sub)
{
    if (sub->is_wanted || sub->awaited > 0 || sub->is_retrying || sub->n_held > 0)
        return;
    hash_table_remove(&table->users, &sub->link);
    free(sub);
}

void redis_sub_table_drop_all(struct redis_sub_table *table)
{
    for (size_t i = 0; i < table->users.n_buckets; i++) {
        HASH_TABLE_FOR_EACH_IN(link, &table->users, i)
        {
            redis_sub_table_drop(table, sub_of(link));
        }
    }
}

static void add_late_subs(struct redis_sub_table *table)
{
    while (table->late != NULL) {
        struct hash_link *link = table->late;
        table->late = link->next;
        hash_table_add(&table->users, link);
    }
}

void redis_sub_table_visit(struct redis_sub_table *table, int shard,
                           void (*visit)(void *owner, struct redis_sub *sub), void *owner)
{
    table->is_walking = true;
    for (size_t i = 0; i < table->users.n_buckets; i++) {
        HASH_TABLE_FOR_EACH_IN(link, &table->users, i)
        {
            if (shard == REDIS_ANY_SHARD || sub_of(link)->shard == shard)
                visit(owner, sub_of(link));
        }
    }
    table->is_walking = false;
    add_late_subs(table);
}

enum err redis_sub_table_init(struct redis_sub_table *table)
{
    table->is_walking = false;
    table->late = NULL;
    return hash_table_init(&table->users, sub_hash);
}

void redis_sub_table_fini(struct redis_sub_table *table)
{
    hash_table_fini(&table->users);
}
