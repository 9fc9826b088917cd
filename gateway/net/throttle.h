/* Readers that must wait: those whose peers send without end share so many bytes a millisecond
 * among themselves, each in its turn. What they may not send yet stays in the kernel, and holds the
 * sender up there. Work that a few bytes ask for (a signature to verify) is taken from the same
 * share, by its time. Those who wait with work and those who wait to be read have turns in turn,
 * so that a crowd of the ones does not hold up the others. Among each of the two, turns go round
 * by address, so that nobody waits for more than one turn of each other address, however many
 * connections it has. Each call takes constant time.
 *
 * One a thread, on its reactor, and for that thread only. */
#ifndef HERALD_NET_THROTTLE_H
#define HERALD_NET_THROTTLE_H

#include "gateway/net/addresses.h"
#include "gateway/net/reactor.h"

/* Nobody waits longer for what others have read beyond their share. */
enum { THROTTLE_DEBT_MS = 32 };

enum throttle_kind { THROTTLE_READ, THROTTLE_WORK, THROTTLE_KINDS };

/* An address while somebody of it waits; of throttle.c alone. */
struct throttle_address;

struct throttled {
    struct list link;
    struct throttle_address *address; /* NULL: it does not wait. Before the first use, too */
    enum throttle_kind kind;
};

struct throttle {
    struct reactor *reactor;
    void (*read)(struct throttled *throttled); /* its turn has come; it no longer waits */
    struct addresses addresses;
    struct round rounds[THROTTLE_KINDS];
    enum throttle_kind turn_of;
    struct reactor_task task;
    int64_t bytes_per_ms;
    int64_t credit; /* bytes; below 0: more was read than one could know before */
    int64_t at_ms;  /* when the credit was counted */
};

MUST_CHECK enum err throttle_init(struct throttle *throttle, struct reactor *reactor,
                                  int64_t bytes_per_ms,
                                  void (*read)(struct throttled *throttled)); /* ERR_NO_MEMORY */
void throttle_fini(struct throttle *throttle); /* when nobody waits */

/* Counts bytes that were read. true: the share is used up, so whoever has more to read must wait.
 */
bool throttle_charge(struct throttle *throttle, size_t bytes);

/* May work begin at once? */
MUST_CHECK bool throttle_is_free(struct throttle *throttle);

/* One that does not wait yet, for whoever is at `ip` (all zero: it has no address). ERR_NO_MEMORY.
 */
MUST_CHECK enum err throttle_wait(struct throttle *throttle, struct throttled *throttled,
                                  enum throttle_kind kind, const struct ip *ip);
void throttle_leave(struct throttle *throttle,
                    struct throttled *throttled); /* not waiting: does nothing */

#endif
