/* Texts that are known until a moment: blocked users and tickets. A table that is
 * bounded, so that a whole visit takes a few milliseconds at most. For the thread that runs the
 * store's turns.
 *
 * Memory: about 48 bytes an entry beside its texts, and 8 to 16 for its place in the table. */
#ifndef HERALD_STORE_EXPIRING_H
#define HERALD_STORE_EXPIRING_H

#include "gateway/base/hash_table.h"
#include "proto/bytes/span.h"
#include "proto/error.h"

#include <stdint.h>

enum { EXPIRING_TEXT_MAX_BYTES = 255 };

struct expiring {
    struct hash_link link; /* in its table */
    uint64_t hash;
    uint64_t record_key; /* in the backing; 0: no record */
    int64_t until_ms;    /* 0: it is to leave with the present group */
    bool is_dirty;       /* the present group changes it */
    uint8_t key_len;
    uint8_t value_len;
    char bytes[]; /* the key, the value */
};

struct expiring_table;

/* With room for `max` entries, those that are over included. */
MUST_CHECK enum err expiring_table_new(size_t max, struct expiring_table **ret_table);
void expiring_table_free(struct expiring_table *table); /* NULL is fine */
void expiring_table_clear(struct expiring_table *table);
size_t expiring_table_count(const struct expiring_table *table);

/* NULL: unknown. What is over is found until it is removed. */
struct expiring *expiring_find(const struct expiring_table *table, struct span key);

/* The key must not be there. Both texts are copied, at most EXPIRING_TEXT_MAX_BYTES each. ERR_FULL,
 * ERR_NO_MEMORY. */
MUST_CHECK enum err expiring_add(struct expiring_table *table, struct span key, struct span value,
                                 int64_t until_ms, struct expiring **ret_entry);
void expiring_remove(struct expiring_table *table, struct expiring *entry);

static inline struct span expiring_key(const struct expiring *entry)
{
    return (struct span){entry->bytes, entry->key_len};
}

static inline struct span expiring_value(const struct expiring *entry)
{
    return (struct span){entry->bytes + entry->key_len, entry->value_len};
}

/* Calls `visit` with each entry; it may remove that one, and no other. */
void expiring_visit(struct expiring_table *table,
                    void (*visit)(void *owner, struct expiring *entry), void *owner);

#endif
