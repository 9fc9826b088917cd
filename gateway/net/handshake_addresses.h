/* The addresses that have TLS handshakes under way on one thread: whose turn is next, and who has
 * the most of them; for handshakes.c.
 *
 * A handshake is fresh until its first step, which is what costs, and has begun from then on. Each
 * call takes constant time, whatever the number of handshakes and addresses is. */
#ifndef HERALD_NET_HANDSHAKE_ADDRESSES_H
#define HERALD_NET_HANDSHAKE_ADDRESSES_H

#include "gateway/net/addresses.h"

enum { HANDSHAKES_BEGUN = 512 }; /* at once on a thread */

enum { HANDSHAKE_RANKS = HANDSHAKES_BEGUN + 1, HANDSHAKE_RANK_WORDS = (HANDSHAKE_RANKS + 63) / 64 };

/* Addresses by how many handshakes they have begun. */
struct handshake_ranks {
    uint64_t used[HANDSHAKE_RANK_WORDS]; /* a bit for each list that is not empty */
    struct list lists[HANDSHAKE_RANKS];  /* who has been there for the longest time comes first */
};

struct handshake_address {
    struct address here; /* handshakes, fresh and begun */
    unsigned n_begun;
    struct list begun; /* the oldest first */
    struct list rank;  /* in addresses->by_begun, while it has begun any */
    struct list fresh; /* waiting for their first step */
    struct list turn;  /* in addresses->fresh, while any is */
    struct line ready; /* begun, and waiting for their next step */
};

/* One handshake's place; embedded. */
struct handshake_entry {
    struct handshake_address *address;
    struct list queued; /* in fresh or ready of its address */
    struct list begun;
};

struct handshake_addresses {
    struct addresses here;
    struct handshake_ranks by_begun; /* those that have begun some */
    struct handshake_ranks fresh;    /* those that have fresh ones that wait */
    struct round ready;              /* those whose begun ones wait */
    unsigned n_begun;
};

MUST_CHECK enum err handshake_addresses_init(struct handshake_addresses *addresses);
void handshake_addresses_fini(struct handshake_addresses *addresses); /* when none is left */

/* A fresh one that does not wait yet. ERR_NO_MEMORY. */
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

/* It waits for its turn, behind those of its address and its kind. */
void handshake_addresses_wait(struct handshake_addresses *addresses, struct handshake_entry *entry);
void handshake_addresses_take(struct handshake_addresses *addresses,
                              struct handshake_entry *entry); /* it waits no longer */

/* The next in turn, which goes on waiting; NULL: none waits. Of those that have begun: address by
 * address. Of the fresh: of an address that has begun the fewest; among those address by address.
 */
struct handshake_entry *handshake_addresses_next_ready(const struct handshake_addresses *addresses);
struct handshake_entry *handshake_addresses_next_fresh(const struct handshake_addresses *addresses);

/* A fresh one that does not wait begins. There must be fewer than HANDSHAKES_BEGUN. */
void handshake_addresses_begin(struct handshake_addresses *addresses,
                               struct handshake_entry *entry);

/* The oldest of an address that has begun the most. NULL: none has begun. */
struct handshake_entry *handshake_addresses_oldest(const struct handshake_addresses *addresses);

#endif
