/* The index of the memory and file stores: every user's numbers and what waits for them, without
 * the payloads. For the thread that runs the store's turns, and no other.
 *
 * Memory: 52 bytes a user and the userId, 8 for its place in the table; 32 bytes a waiting entry,
 * in an array that grows by half (README.md has what was measured). */
#ifndef HERALD_STORE_INBOX_H
#define HERALD_STORE_INBOX_H

#include "proto/notification.h"
#include "proto/user_id.h"

/* One waiting notification. */
struct inbox_entry {
    uint64_t key; /* by which the backing finds it */
    uint64_t seq;
    int64_t expires_ms;
    uint32_t bytes;    /* of its data */
    uint32_t distance; /* key - distance is the key of a shared payload; 0: it has its own */
};

struct inbox_waiting {
    uint32_t first; /* the oldest; what stands before it has left */
    uint32_t end;
    uint32_t cap;
    uint64_t bytes; /* of data, first to end */
    struct inbox_entry entries[];
};

struct inbox {
    struct inbox *next;            /* in its bucket */
    struct inbox_waiting *waiting; /* NULL: nothing waits */
    uint64_t head;
    uint64_t acked;
    uint64_t record_key; /* of the user's own record in the backing; 0: none */
    struct epoch epoch;
    uint16_t sign_day; /* of the last sign of life, in days since 1970 */
    uint8_t user_id_len;
    bool is_dirty; /* the present group changes it */
    char user_id[];
};

struct inbox_table;

MUST_CHECK enum err inbox_table_new(struct inbox_table **ret_table);
void inbox_table_free(struct inbox_table *table); /* NULL is fine */
void inbox_table_clear(struct inbox_table *table);
size_t inbox_table_count(const struct inbox_table *table);   /* users */
size_t inbox_table_buckets(const struct inbox_table *table); /* about as many, never fewer again */

struct inbox *inbox_find(const struct inbox_table *table, struct span user_id); /* NULL: unknown */

/* A user with this epoch and nothing else, who must not be there yet. NULL: out of memory. */
struct inbox *inbox_add(struct inbox_table *table, struct span user_id, struct epoch epoch);
void inbox_remove(struct inbox_table *table, struct inbox *inbox); /* frees it */

static inline struct span inbox_user(const struct inbox *inbox)
{
    return (struct span){inbox->user_id, inbox->user_id_len};
}

static inline size_t inbox_count(const struct inbox *inbox)
{
    return inbox->waiting == NULL ? 0 : inbox->waiting->end - inbox->waiting->first;
}

static inline uint64_t inbox_bytes(const struct inbox *inbox)
{
    return inbox->waiting == NULL ? 0 : inbox->waiting->bytes;
}

/* The entries, oldest first, inbox_count of them; valid until the inbox changes. */
static inline const struct inbox_entry *inbox_entries(const struct inbox *inbox)
{
    return inbox->waiting == NULL ? NULL : inbox->waiting->entries + inbox->waiting->first;
}

/* Room for one more, so that the next inbox_push cannot fail. */
MUST_CHECK enum err inbox_reserve(struct inbox *inbox);
void inbox_push(struct inbox *inbox, struct inbox_entry entry);

/* The index of the first entry with a number above `after`; inbox_count if there is none. */
size_t inbox_seek(const struct inbox *inbox, uint64_t after);

/* Drops the n oldest. */
void inbox_drop_oldest(struct inbox *inbox, size_t n);

/* Called with each entry that leaves. */
typedef void inbox_left_fn(void *owner, const struct inbox_entry *entry);

/* Drops what has expired; answers how many. */
size_t inbox_drop_expired(struct inbox *inbox, int64_t now_ms, inbox_left_fn *on_left, void *owner);

/* Called with each user of a slice; it may inbox_remove that user, and no other. */
typedef void inbox_visit_fn(void *owner, struct inbox *inbox);

/* Visits the users of the next n buckets, and begins again at the end. */
void inbox_table_visit(struct inbox_table *table, size_t n_buckets, inbox_visit_fn *visit,
                       void *owner);

#endif
