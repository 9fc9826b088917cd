/* Which partitions this node serves: sends to webhooks, and tells of due alerts. One node of those
 * that share a store serves a partition; it has a lease there, which it looks at every 2 s, and
 * each takes as many as an equal share, rounded up. A node that has more, because another has come,
 * gives one back each 2 s. With a local store this process serves all of them, and looks each
 * second. Whoever serves also ends users who are offline (store_serve). */
#ifndef HERALD_EVENTS_SERVING_H
#define HERALD_EVENTS_SERVING_H

#include "gateway/events/events_struct.h"
#include "gateway/store/store_event_request.h"

struct worker;

/* Each NULL where it is not needed. All are called on the thread of the partition's worker
 * (store_partition_lane); none may block, all may ask the store. */
struct serving_listener {
    void (*on_gained)(struct serving_listener *listener, unsigned partition);
    /* No longer: the lease is over, was given back, or this process lets go. A request of this node
     * that is under way may still end after another one has begun to serve. */
    void (*on_lost)(struct serving_listener *listener, unsigned partition);
    /* Of a partition that is served, after each look, also with n 0. What is due comes again until
     * store_alert_end has ended it. `due` is valid in the call alone. */
    void (*on_due)(struct serving_listener *listener, unsigned partition,
                   const struct store_alert *due, size_t n, uint64_t n_pending);
    struct serving_listener *next; /* serving's own */
};

/* After presence_new. ERR_NO_MEMORY. */
MUST_CHECK enum err serving_new(struct events *events, struct serving **ret_serving);
void serving_free(struct serving *serving); /* after store_close; NULL is fine */

/* Before serving_start; the listener stays until serving_free. */
void serving_listen(struct serving *serving, struct serving_listener *listener);

/* For events_start, after presence_start. From here on it counts until it may judge who is offline
 * (--offline-after): the users of the process before have that long to come back. */
void serving_start(struct serving *serving);

/* Any thread. By the clock, so also before on_lost was called. */
bool serving_is_mine(const struct serving *serving, unsigned partition);
/* Any thread: looks at the partition at once. */
void serving_ask(struct serving *serving, unsigned partition);

/* The partition's worker: from the next look on so many of the due alerts, the oldest ones, are
 * passed over; 0, as at first: none. */
void serving_skip_alerts(struct serving *serving, unsigned partition, uint32_t n);

/* The other process of an upgrade serves now; see presence_let_go, which comes first. All workers
 * are parked. */
void serving_let_go(struct serving *serving);

/* A clean stop: gives all leases back, and waits for the store until then, on the monotonic clock.
 * From outside, while the workers run. */
void serving_leave(struct serving *serving, int64_t until_ms);
/* The workers have ended: nothing more is asked of the store. */
void serving_stop(struct serving *serving);

#endif
