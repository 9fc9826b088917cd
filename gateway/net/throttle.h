/* Limits how much the busy connections of a thread read: together they share bytes_per_ms bytes per
 * millisecond, in turns. Bytes that are not read yet stay in the kernel, and TCP slows the sender
 * down. Work that a few bytes cause (verifying a signature) uses the same share, by its time.
 * Connections that wait with work and connections that wait to be read have alternate turns, so
 * that many of one kind do not delay the other kind. Within each kind, turns go round by address,
 * so that a connection waits for at most one turn of each other address, however many connections
 * that has. Each call takes constant time.
 *
 * Each reactor has one throttle, which belongs to whoever holds its turn. */
#ifndef HERALD_NET_THROTTLE_H
#define HERALD_NET_THROTTLE_H

#include "gateway/net/addresses.h"
#include "gateway/net/reactor.h"

/* The most that the credit may be negative: nobody waits longer because others have read too
 * much. */
enum { THROTTLE_DEBT_MS = 32 };

enum throttle_kind { THROTTLE_READ, THROTTLE_WORK, THROTTLE_KINDS };

/* An address with waiting connections; private to throttle.c. */
struct throttle_address;

struct throttled {
    struct list link;
    struct throttle_address *address; /* NULL: it does not wait; set to NULL before the first use */
    enum throttle_kind kind;
};

struct throttle {
    struct reactor *reactor;
    void (*read)(struct throttled *throttled); /* called in its turn; it no longer waits then */
    struct addresses addresses;
    struct round rounds[THROTTLE_KINDS];
    enum throttle_kind turn_of;
    struct reactor_task task;
    int64_t bytes_per_ms;
    int64_t credit; /* bytes; negative after a read that was larger than the credit */
    int64_t at_ms;  /* when the credit was last updated */
};

MUST_CHECK enum err throttle_init(struct throttle *throttle, struct reactor *reactor,
                                  int64_t bytes_per_ms,
                                  void (*read)(struct throttled *throttled)); /* ERR_NO_MEMORY */
void throttle_fini(struct throttle *throttle); /* when no connection waits */

/* Counts bytes that were read. true: the share is used up, so a connection with more to read must
 * wait. */
bool throttle_charge(struct throttle *throttle, size_t bytes);

/* May work begin at once, without waiting for a turn? */
MUST_CHECK bool throttle_is_free(struct throttle *throttle);

/* Makes a connection wait that does not wait yet; its turns count for the address `ip` (all zero:
 * it has none). ERR_NO_MEMORY. */
MUST_CHECK enum err throttle_wait(struct throttle *throttle, struct throttled *throttled,
                                  enum throttle_kind kind, const struct ip *ip);
void throttle_leave(struct throttle *throttle,
                    struct throttled *throttled); /* not waiting: does nothing */

#endif
