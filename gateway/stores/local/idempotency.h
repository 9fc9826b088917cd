/* The idempotency keys that are remembered: what each was answered with, oldest first. For the
 * thread that runs the store's turns.
 *
 * Memory: 96 bytes a key with malloc's rounding, and 8 to 16 for its place in the table. A user
 * and a key are known by 128 bits of a keyed hash, not by their bytes. */
#ifndef HERALD_STORE_IDEMPOTENCY_H
#define HERALD_STORE_IDEMPOTENCY_H

#include "gateway/base/hash_table.h"
#include "gateway/store/store_request.h"

struct idempotency {
    struct hash_link link;     /* in its table */
    struct idempotency *later; /* the next younger one */
    uint64_t hash[2];
    uint64_t record_key; /* in the backing; 0: not committed yet */
    struct store_print print;
    struct epoch epoch;
    uint64_t seq;
    int64_t time_ms;
    int64_t expires_ms; /* of the notification */
};

struct idempotency_table;

MUST_CHECK enum err idempotency_table_new(struct idempotency_table **ret_table);
void idempotency_table_free(struct idempotency_table *table); /* NULL is fine */
void idempotency_table_clear(struct idempotency_table *table);
size_t idempotency_table_count(const struct idempotency_table *table);

/* The latest that was added for this user and key; NULL: unknown. */
const struct idempotency *idempotency_find(const struct idempotency_table *table,
                                           struct span user_id, struct span key);

/* Adds a copy as the youngest; its hash and links are set here. NULL: out of memory. */
struct idempotency *idempotency_add(struct idempotency_table *table, struct span user_id,
                                    struct span key, const struct idempotency *entry);

/* NULL: there is none. */
const struct idempotency *idempotency_oldest(const struct idempotency_table *table);
void idempotency_drop_oldest(struct idempotency_table *table);

#endif
