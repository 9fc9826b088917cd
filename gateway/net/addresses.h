/* Shares the work of one thread fairly among client addresses. handshake_addresses.c and throttle.c
 * both use it: a table of the addresses that are present, and rounds, in which each address has its
 * own line. An address is an IPv4 address or the /64 of an IPv6 one; all connections without an
 * address count as one, which is all zero.
 *
 * Each call takes constant time, however many addresses are present or wait. */
#ifndef HERALD_NET_ADDRESSES_H
#define HERALD_NET_ADDRESSES_H

#include "gateway/base/hash_table.h"
#include "gateway/base/list.h"
#include "proto/bytes/cidr.h"

/* ---- the addresses that are present ---- */

/* The first member of the struct that a user of this file keeps for an address. */
struct address {
    struct hash_link link;
    uint64_t hash;
    struct ip network;
    unsigned n_here;
};

struct addresses {
    struct hash_table table;
};

MUST_CHECK enum err addresses_init(struct addresses *addresses); /* ERR_NO_MEMORY */
void addresses_fini(struct addresses *addresses);                /* when no address is present */

/* Counts one more user of the address. For the first one (n_here is 1 then) it allocates `bytes`
 * bytes, which are zero after the `struct address`. NULL: out of memory. */
struct address *addresses_enter(struct addresses *addresses, const struct ip *ip, size_t bytes);
/* Counts one less; with the last one the address is freed. */
void addresses_leave(struct addresses *addresses, struct address *address);

/* ---- rounds ---- */

/* The lines that are not empty, in the order of their turns. */
struct round {
    struct list turns;
};

/* The waiting links of one address, in the order of their arrival. */
struct line {
    struct list waiting;
    struct list turn;
};

void round_init(struct round *round);
void line_init(struct line *line);

/* Appends the link to its line; a line that was empty is appended to the round. */
void round_wait(struct round *round, struct line *line, struct list *link);
/* Removes a link that has not had its turn; the line keeps its place in the round. A link that does
 * not wait: does nothing. */
void round_leave(struct line *line, struct list *link);
/* Removes a link that has its turn now; its line moves to the end of the round, unless it is
 * empty. */
void round_take(struct round *round, struct line *line, struct list *link);

/* The link whose turn it is; it is not removed. NULL: none waits. */
struct list *round_next(const struct round *round);

#endif
