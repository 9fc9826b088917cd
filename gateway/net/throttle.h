/* Readers that must wait: those whose peers send without end share so many bytes a millisecond
 * among themselves, each in its turn. What they may not send yet stays in the kernel, and holds the
 * sender up there. Work that a few bytes ask for (a signature to verify) is taken from the same
 * share, by its time. Those who wait with work and those who wait to be read have turns in turn,
 * so that a crowd of the ones does not hold up the others.
 *
 * One a thread, on its reactor, and for that thread only. */
#ifndef HERALD_NET_THROTTLE_H
#define HERALD_NET_THROTTLE_H

#include "gateway/net/reactor.h"
#include "proto/error.h"

/* Nobody waits longer for what others have read beyond their share. */
enum { THROTTLE_DEBT_MS = 32 };

struct throttled {
    struct list link; /* list_init before the first use */
};

struct throttle {
    struct reactor *reactor;
    void (*read)(struct throttled *throttled); /* its turn has come; it no longer waits */
    struct list waiting;                       /* to be read */
    struct list with_work;
    bool is_turn_of_work;
    struct reactor_task task;
    int64_t bytes_per_ms;
    int64_t credit; /* bytes; below 0: more was read than one could know before */
    int64_t at_ms;  /* when the credit was counted */
};

void throttle_init(struct throttle *throttle, struct reactor *reactor, int64_t bytes_per_ms,
                   void (*read)(struct throttled *throttled));
void throttle_fini(struct throttle *throttle);

/* Counts bytes that were read. true: the share is used up, so whoever has more to read must wait.
 */
bool throttle_charge(struct throttle *throttle, size_t bytes);

/* May work begin at once? */
MUST_CHECK bool throttle_is_free(struct throttle *throttle);

void throttle_wait(struct throttle *throttle, struct throttled *throttled, bool has_work);
void throttle_leave(struct throttled *throttled); /* not waiting: does nothing */

#endif
