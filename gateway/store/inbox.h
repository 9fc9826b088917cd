/* The index of the memory and file stores: every user's numbers and what waits for them, without
 * the payloads. For the thread that runs the store's turns, and no other.
 *
 * Memory: 64 bytes a user and the userId, 8 for its place in the table; 32 bytes a waiting entry,
 * in an array that grows by half (README.md has what was measured). */
#ifndef HERALD_STORE_INBOX_H
#define HERALD_STORE_INBOX_H

#include "gateway/base/hash_table.h"
#include "gateway/store/devices.h"
#include "proto/gap.h"
#include "proto/notification.h"
#include "proto/user_id.h"

/* One waiting notification. */
struct inbox_entry {
    uint64_t key; /* by which the backing finds it */
    uint64_t seq;
    uint64_t due;      /* inbox_due: when it expires, and the tag of its collapse key */
    uint32_t bytes;    /* of its data */
    uint32_t distance; /* key - distance is the key of a shared payload; 0: it has its own */
};

/* Times from 0 and below this one can stand in an entry: the year 6429. */
#define INBOX_EXPIRES_END_MS ((int64_t)1 << 47)

/* A tag is a hash of a collapse key, so that most entries with another one need not be read. Good
 * for this run of the program only. 0: no key. */
uint16_t inbox_tag(struct span collapse_key);

static inline uint64_t inbox_due(int64_t expires_ms, uint16_t tag)
{
    return (uint64_t)expires_ms << 16 | tag;
}

static inline int64_t inbox_expires_ms(const struct inbox_entry *entry)
{
    return (int64_t)(entry->due >> 16);
}

static inline uint16_t inbox_entry_tag(const struct inbox_entry *entry)
{
    return (uint16_t)entry->due;
}

struct inbox_waiting {
    uint32_t first; /* the oldest; what stands before it has left */
    uint32_t end;
    uint32_t cap;
    uint64_t bytes; /* of data, first to end */
    struct inbox_entry entries[];
};

/* What only some users have. */
struct inbox_more {
    struct gaps *gaps;       /* NULL: nothing left unacknowledged */
    struct devices *devices; /* NULL: there is none, and `acked` is the shared position */
};

struct inbox {
    struct hash_link link;         /* in its table */
    struct inbox_waiting *waiting; /* NULL: nothing waits */
    struct inbox_more *more;       /* NULL: none of it */
    uint64_t head;
    uint64_t acked;
    uint64_t record_key; /* of the user's own record in the backing; 0: none */
    struct epoch epoch;
    uint32_t n_written; /* numbers above acked that sessions have had */
    uint16_t sign_day;  /* of the last sign of life, in days since 1970 */
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

/* Drops the n oldest; the one at an index. */
void inbox_drop_oldest(struct inbox *inbox, size_t n);
void inbox_drop_at(struct inbox *inbox, size_t at);

/* Called with each entry that leaves. */
typedef void inbox_left_fn(void *owner, const struct inbox_entry *entry);

/* Drops what has expired; answers how many. */
size_t inbox_drop_expired(struct inbox *inbox, int64_t now_ms, inbox_left_fn *on_left, void *owner);

/* ---- why numbers left, and where the devices are ---- */

static inline const struct gaps *inbox_gaps(const struct inbox *inbox)
{
    return inbox->more == NULL ? NULL : inbox->more->gaps;
}

static inline struct devices *inbox_devices(const struct inbox *inbox)
{
    return inbox->more == NULL ? NULL : inbox->more->devices;
}

/* Without memory the cause is not known later. */
void inbox_add_gap(struct inbox *inbox, uint64_t seq, enum gap_cause cause);

/* Takes over both, each may be NULL; what was there is freed. ERR_NO_MEMORY: takes nothing over. */
MUST_CHECK enum err inbox_set_more(struct inbox *inbox, struct gaps *gaps, struct devices *devices);

/* Makes room for one device more, the first of which begins with the shared position at `acked`. */
MUST_CHECK enum err inbox_reserve_device(struct inbox *inbox);
void inbox_drop_devices(struct inbox *inbox);

/* Numbers start again: nothing waits, nothing was acknowledged, no cause is known. The devices
 * stay, at 0. */
void inbox_reset(struct inbox *inbox, struct epoch epoch);

/* The highest number that a session has had. */
static inline uint64_t inbox_written(const struct inbox *inbox)
{
    return inbox->acked + inbox->n_written;
}

void inbox_set_written(struct inbox *inbox, uint64_t seq); /* at most head; never falls */

/* Moves the position up to a number not above head. The entries are the caller's to drop. */
void inbox_set_acked(struct inbox *inbox, uint64_t acked);

/* Called with each user of a slice; it may inbox_remove that user, and no other. */
typedef void inbox_visit_fn(void *owner, struct inbox *inbox);

/* Visits the users of the next n buckets, and begins again at the end. */
void inbox_table_visit(struct inbox_table *table, size_t n_buckets, inbox_visit_fn *visit,
                       void *owner);

#endif
