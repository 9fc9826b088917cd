/* The addresses of the TLS handshakes of one thread: which one has the next turn, and which has the
 * most handshakes. For handshakes.c.
 *
 * A handshake is fresh until its first step, which is the expensive one, and has begun from then
 * on. Each call takes constant time, whatever the number of handshakes and addresses. */
#ifndef HERALD_NET_HANDSHAKE_ADDRESSES_H
#define HERALD_NET_HANDSHAKE_ADDRESSES_H

#include "gateway/net/addresses.h"

enum { HANDSHAKES_BEGUN = 512 }; /* at most, at the same time on one thread */

enum { HANDSHAKE_RANKS = HANDSHAKES_BEGUN + 1, HANDSHAKE_RANK_WORDS = (HANDSHAKE_RANKS + 63) / 64 };

/* Addresses in lists by the number of handshakes that they have begun. */
struct handshake_ranks {
    uint64_t used[HANDSHAKE_RANK_WORDS]; /* a bit for each list that is not empty */
    struct list lists[HANDSHAKE_RANKS];  /* in each, the address that joined first comes first */
};

struct handshake_address {
    struct address here; /* counts its handshakes, fresh and begun */
    unsigned n_begun;
    struct list begun; /* the oldest first */
    struct list rank;  /* in addresses->by_begun, if n_begun > 0 */
    struct list fresh; /* handshakes that wait for their first step */
    struct list turn;  /* in addresses->fresh, if `fresh` is not empty */
    struct line ready; /* begun handshakes that wait for their next step */
};

/* The entry of one handshake; embedded in it. */
struct handshake_entry {
    struct handshake_address *address;
    struct list queued; /* in `fresh` or `ready` of its address */
    struct list begun;
};

struct handshake_addresses {
    struct addresses here;
    struct handshake_ranks by_begun; /* addresses that have begun some */
    struct handshake_ranks fresh;    /* addresses with waiting fresh handshakes */
    struct round ready;              /* addresses with waiting begun handshakes */
    unsigned n_begun;
};

MUST_CHECK enum err handshake_addresses_init(struct handshake_addresses *addresses);
void handshake_addresses_fini(
    struct handshake_addresses *addresses); /* when no handshake is left */

/* Adds a fresh handshake, which does not wait yet. ERR_NO_MEMORY. */
MUST_CHECK enum err handshake_addresses_add(struct handshake_addresses *addresses,
                                            struct handshake_entry *entry, const struct ip *ip);
void handshake_addresses_remove(struct handshake_addresses *addresses,
                                struct handshake_entry *entry);

static inline bool handshake_entry_is_waiting(const struct handshake_entry *entry)
{
    return !list_is_empty(&entry->queued);
}

static inline bool handshake_entry_has_begun(const struct handshake_entry *entry)
{
    return !list_is_empty(&entry->begun);
}

/* Makes the handshake wait for its turn, after those of its address that are also fresh, or have
 * also begun. */
void handshake_addresses_wait(struct handshake_addresses *addresses, struct handshake_entry *entry);
void handshake_addresses_take(struct handshake_addresses *addresses,
                              struct handshake_entry *entry); /* it no longer waits */

/* The next handshake in turn; it is not removed. NULL: none waits. Begun handshakes have turns
 * address by address. Of the fresh ones, those of the addresses that have begun the fewest come
 * first, address by address. */
struct handshake_entry *handshake_addresses_next_ready(const struct handshake_addresses *addresses);
struct handshake_entry *handshake_addresses_next_fresh(const struct handshake_addresses *addresses);

/* Marks a fresh handshake that does not wait as begun. Fewer than HANDSHAKES_BEGUN may have begun
 * before. */
void handshake_addresses_begin(struct handshake_addresses *addresses,
                               struct handshake_entry *entry);

/* The oldest handshake of an address that has begun the most. NULL: none has begun. */
struct handshake_entry *handshake_addresses_oldest(const struct handshake_addresses *addresses);

#endif
