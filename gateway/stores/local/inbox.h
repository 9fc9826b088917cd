/* The index of the memory and file stores: every user's numbers and what waits for them, without
 * the payloads. For the thread that runs the store's turns, and no other.
 *
 * Memory: 64 bytes a user and the userId, 8 for its place in the table, and what waits
 * (waiting.h; README.md has what was measured). */
#ifndef HERALD_STORE_INBOX_H
#define HERALD_STORE_INBOX_H

#include "gateway/base/hash_table.h"
#include "gateway/stores/local/devices.h"
#include "gateway/stores/local/waiting.h"
#include "proto/bytes/user_id.h"
#include "proto/note/gap.h"
#include "proto/note/notification.h"

/* What only some users have. */
struct inbox_more {
    struct gaps *gaps;       /* NULL: nothing left unacknowledged */
    struct devices *devices; /* NULL: there is none, and `acked` is the shared position */
};

struct inbox {
    struct hash_link link;   /* in its table */
    struct waiting *waiting; /* NULL: nothing waits */
    struct inbox_more *more; /* NULL: none of it */
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
/* hash_table_reserve and hash_table_fit. */
void inbox_table_reserve(struct inbox_table *table, size_t n_users);
void inbox_table_fit(struct inbox_table *table);
size_t inbox_table_count(const struct inbox_table *table);   /* users */
size_t inbox_table_buckets(const struct inbox_table *table); /* about as many, or more */

struct inbox *inbox_find(const struct inbox_table *table, struct span user_id); /* NULL: unknown */

/* For a caller that finds many users: their hashes, and then for all of them one step of
 * INBOX_FETCH_STEPS after the other, so that the memory of each is at hand when it is found. */
enum { INBOX_FETCH_STEPS = 3 };
uint64_t inbox_hash_of(struct span user_id);
void inbox_fetch(const struct inbox_table *table, uint64_t hash, int step);
struct inbox *inbox_find_hashed(const struct inbox_table *table, struct span user_id,
                                uint64_t hash);

/* Adds a user with this epoch and nothing else; the user must not be there yet. NULL: out of
 * memory. */
struct inbox *inbox_add(struct inbox_table *table, struct span user_id, struct epoch epoch);
void inbox_remove(struct inbox_table *table, struct inbox *inbox); /* frees it */

static inline struct span inbox_user(const struct inbox *inbox)
{
    return (struct span){inbox->user_id, inbox->user_id_len};
}

static inline size_t inbox_count(const struct inbox *inbox)
{
    return waiting_count(inbox->waiting);
}

static inline uint64_t inbox_bytes(const struct inbox *inbox)
{
    return inbox->waiting == NULL ? 0 : inbox->waiting->bytes;
}

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
