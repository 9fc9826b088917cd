/* The users whom a lane has online, by userId. On the lane's thread. */
#ifndef HERALD_STORE_REDIS_SUB_TABLE_H
#define HERALD_STORE_REDIS_SUB_TABLE_H

#include "gateway/base/hash_table.h"
#include "gateway/stores/redis/redis_sub.h"
#include "proto/error.h"

enum { REDIS_ANY_SHARD = -1 };

struct redis_sub_table {
    struct hash_table users; /* struct redis_sub */
    bool is_walking;         /* the table must neither grow nor lose a user */
    struct hash_link *late;  /* users who came meanwhile, not in the table yet */
};

MUST_CHECK enum err redis_sub_table_init(struct redis_sub_table *table);
void redis_sub_table_fini(struct redis_sub_table *table); /* it is empty */

/* One that has not moved; NULL: there is none. */
struct redis_sub *redis_sub_table_find(struct redis_sub_table *table, struct span user_id);

/* NULL: no memory. */
struct redis_sub *redis_sub_table_add(struct redis_sub_table *table, uint16_t shard,
                                      struct span user_id);

/* Frees one, or all, unless they are wanted, or something still points at them. Not inside a visit.
 */
void redis_sub_table_drop(struct redis_sub_table *table, struct redis_sub *sub);
void redis_sub_table_drop_all(struct redis_sub_table *table);

/* Calls `visit` for every user of the shard with this index, or of all. What it calls may add users
 * and mark them unwanted: those who are added are not visited. */
void redis_sub_table_visit(struct redis_sub_table *table, int shard,
                           void (*visit)(void *owner, struct redis_sub *sub), void *owner);

#endif
