/* Work of one thread in fair shares among the addresses that it is for; what handshake_addresses.c
 * and throttle.c have in common: a table of the addresses that are here, and rounds, in which each
 * address has a line of its own. An address is an IPv4 address or the /64 of an IPv6 one; all those
 * who have none are one, all zero.
 *
 * Each call takes constant time, however many are here or wait. */
#ifndef HERALD_NET_ADDRESSES_H
#define HERALD_NET_ADDRESSES_H

#include "gateway/base/hash_table.h"
#include "gateway/base/list.h"
#include "proto/bytes/cidr.h"

/* ---- who is here ---- */

/* The first member of whatever is kept for an address. */
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
void addresses_fini(struct addresses *addresses);                /* when nobody is here */

/* One more is here. With the first one of an address its memory is made, `bytes` long and zero
 * behind its `struct address` (n_here is 1 then). NULL: out of memory. */
struct address *addresses_enter(struct addresses *addresses, const struct ip *ip, size_t bytes);
/* With the last one the address is freed. */
void addresses_leave(struct addresses *addresses, struct address *address);

/* ---- rounds ---- */

/* The lines that somebody waits in, in the order of their turns. */
struct round {
    struct list turns;
};

/* Those of one address, in the order in which they came. */
struct line {
    struct list waiting;
    struct list turn;
};

void round_init(struct round *round);
void line_init(struct line *line);

/* Behind those of its address; a line that was empty stands behind the others. */
void round_wait(struct round *round, struct line *line, struct list *link);
/* Leaves without a turn, which is the next one's of its line. Not waiting: does nothing. */
void round_leave(struct line *line, struct list *link);
/* Has had its turn: its line stands behind the others from now on, if anybody is left in it. */
void round_take(struct round *round, struct line *line, struct list *link);

/* Whose turn it is, who goes on waiting. NULL: nobody waits. */
struct list *round_next(const struct round *round);

#endif
