/* A hashed timing wheel: 1024 slots of 16 ms, one link per timer, no allocation. A timer fires up
 * to one slot late, never early; one that is set more than TIMER_NEAR_MS ahead may be late by a
 * 64th of that time, and by 128 ms at most. Each wake-up of an idle worker so serves the pings of
 * many connections. If many timers are due at once, each turn of the reactor fires some of them. It
 * belongs to one reactor, whoever holds its turn. */
#ifndef HERALD_NET_TIMERS_H
#define HERALD_NET_TIMERS_H

#include "gateway/base/list.h"
#include "proto/error.h"

#include <stdint.h>

enum {
    TIMER_MOST_DAYS = 180, /* a timer that is set further ahead fires then */
    TIMER_SLOT_MS = 16,
    TIMER_SLOTS = 1024,
    TIMER_NEAR_MS = 128 * TIMER_SLOT_MS,
    TIMER_LATEST_MS = 8 * TIMER_SLOT_MS, /* the most by which a timer is late */
    TIMERS_AT_ONCE = 32,
};

struct timer {
    struct list link; /* timer_init before the first use */
    void (*on_due)(struct timer *timer);
    uint32_t due_tick; /* the number of a slot on the monotonic clock, which wraps */
    uint32_t owned;    /* for the owner's use; it fills the padding */
};

struct timers;

MUST_CHECK enum err timers_new(int64_t now_ms, struct timers **ret_timers);
void timers_free(struct timers *timers);

void timer_init(struct timer *timer, void (*on_due)(struct timer *timer));
void timer_set(struct timers *timers, struct timer *timer,
               int64_t due_ms);                                /* moves a timer that is set */
void timer_cancel(struct timers *timers, struct timer *timer); /* not set: does nothing */
/* Is it due later than that? It is set. */
bool timer_is_later(const struct timer *timer, int64_t due_ms);
static inline bool timer_is_set(const struct timer *timer)
{
    return !list_is_empty(&timer->link);
}

/* How long the loop may sleep, in milliseconds; -1: without a limit. */
int timers_wait_ms(const struct timers *timers, int64_t now_ms);

/* Fires the first TIMERS_AT_ONCE due timers; timers_wait_ms is 0 while more are due. The timers of
 * thousands of clients that connected together are due together, and pushes to other clients must
 * not wait for all of them. A callback may set and cancel any timer, its own included. */
void timers_fire(struct timers *timers, int64_t now_ms);

#endif
