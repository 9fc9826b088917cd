/* What waits for one user, without the payloads: entries in the order of their numbers, from which
 * any may leave, found by number, by the tag of a collapse key and by the time they expire. For
 * the thread that runs the store's turns.
 *
 * No call costs more than O(log n) of the entries that wait, amortised, and a block of
 * WAITING_BLOCK entries; dropping k costs k times that. waiting_steps counts what is visited.
 *
 * An entry has a place, an index that rises with the numbers. Places of entries that have left lie
 * between; they, and all other places, are good until something is added or dropped.
 *
 * Memory: 32 bytes an entry, in an array of which an eighth at most has left when it grows, by a
 * quarter (by half below WAITING_BLOCK), and which shrinks when half has left; 5 to 8 more with a
 * collapse key, where more than WAITING_BLOCK wait. README.md says what was measured. */
#ifndef HERALD_STORE_WAITING_H
#define HERALD_STORE_WAITING_H

#include "proto/bytes/span.h"
#include "proto/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WAITING_BLOCK = 32, WAITING_TAG_BITS = 20 };

/* One waiting notification. */
struct waiting_entry {
    uint64_t key; /* by which the backing finds it */
    uint64_t seq;
    uint64_t due;      /* waiting_due: when it expires, and the tag of its collapse key */
    uint32_t bytes;    /* of its data */
    uint32_t distance; /* key - distance is the key of a shared payload; 0: it has its own */
};

/* An entry holds times from 0 to below this one: the year 2527. */
#define WAITING_EXPIRES_END_MS (((int64_t)1 << (64 - WAITING_TAG_BITS)) - 1)

/* A tag is a hash of a collapse key, so that most entries with another one need not be read. Good
 * for this run of the program only. 0: no key. */
uint32_t waiting_tag(struct span collapse_key);

static inline uint64_t waiting_due(int64_t expires_ms, uint32_t tag)
{
    return (uint64_t)expires_ms << WAITING_TAG_BITS | tag;
}

static inline int64_t waiting_expires_ms(const struct waiting_entry *entry)
{
    return (int64_t)(entry->due >> WAITING_TAG_BITS);
}

static inline uint32_t waiting_entry_tag(const struct waiting_entry *entry)
{
    return (uint32_t)entry->due & ((1u << WAITING_TAG_BITS) - 1);
}

/* The array; NULL is an empty one. */
struct waiting {
    uint32_t first; /* the place of the oldest */
    uint32_t end;   /* after the place of the youngest */
    uint32_t cap;
    uint32_t n;
    uint64_t bytes; /* of data */
    struct waiting_entry entries[];
};

/* How many entries this thread has visited; for tests. */
extern _Thread_local uint64_t waiting_steps;

/* Room for one more with this tag, so that the next waiting_push cannot fail. */
MUST_CHECK enum err waiting_reserve(struct waiting **waiting, uint32_t tag);
void waiting_push(struct waiting *waiting, struct waiting_entry entry); /* its number is higher */
void waiting_free(struct waiting **waiting);                            /* all of it */

static inline size_t waiting_count(const struct waiting *waiting)
{
    return waiting == NULL ? 0 : waiting->n;
}

/* From first to last: for (place = waiting_first(w); place < waiting_end(w);
 *                          place = waiting_next(w, place)) */
static inline size_t waiting_first(const struct waiting *waiting)
{
    return waiting == NULL ? 0 : waiting->first;
}

static inline size_t waiting_end(const struct waiting *waiting)
{
    return waiting == NULL ? 0 : waiting->end;
}

size_t waiting_next(const struct waiting *waiting, size_t place);

/* The place of the first entry with a number above `after`; waiting_end if there is none. */
size_t waiting_seek(const struct waiting *waiting, uint64_t after);

/* The place of the first entry of this tag, in no order, that `is_it` says yes to; waiting_end if
 * there is none. */
typedef bool waiting_match_fn(void *owner, const struct waiting_entry *entry);
size_t waiting_find(const struct waiting *waiting, uint32_t tag, waiting_match_fn *is_it,
                    void *owner);

void waiting_drop(struct waiting **waiting, size_t place);

bool waiting_has_expired(const struct waiting *waiting, int64_t now_ms);

/* Drops what has expired, at most `max`, in the order of the numbers; answers how many. Called with
 * each. */
typedef void waiting_left_fn(void *owner, const struct waiting_entry *entry);
size_t waiting_drop_expired(struct waiting **waiting, int64_t now_ms, size_t max,
                            waiting_left_fn *on_left, void *owner);

#endif
