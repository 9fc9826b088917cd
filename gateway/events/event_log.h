/* The event log of this node: writes events to their partitions, and hears of those that any node
 * has written.
 *
 * What is written while a partition's request is under way goes with the next one, so that the
 * store is asked once for many events, and one user's events keep the order of the calls.
 *
 * Hearing begins when somebody listens first: the store is then asked to report the reserved users
 * of the partitions, as it is for a user who comes online. It goes on until the log is freed. */
#ifndef HERALD_EVENT_LOG_H
#define HERALD_EVENT_LOG_H

#include "gateway/base/list.h"
#include "gateway/events/events_struct.h"

struct worker;

/* ERR_NO_MEMORY. The listeners and every append are gone before it is freed; NULL is fine. */
MUST_CHECK enum err event_log_new(struct events *events, struct event_log **ret_log);
void event_log_free(struct event_log *log);

/* From here on the store is asked to report; writing needs no start. */
void event_log_start(struct event_log *log);
/* Answers what waits with ERR_STORE_UNAVAILABLE. Nothing is asked of the store from here on; what
 * it still has is answered by store_close. */
void event_log_stop(struct event_log *log);
/* Asks again for what the store could not report. The worker's thread. */
void event_log_on_second(struct event_log *log, const struct worker *worker);

/* One event that is to be written. The caller owns it, and keeps it with all it points to until
 * on_done has run: once, on any thread, never inside event_log_append. It must not block. */
struct event_append {
    void (*on_done)(struct event_append *append);
    struct span user_id; /* it goes to this user's partition */
    struct span data;    /* of the event (proto/note/event.h) */
    bool is_bounded;     /* refused when the partition is filled to three quarters */
    enum err error;      /* out: ERR_OK: it is kept; ERR_FULL, ERR_STORE_UNAVAILABLE */
    struct list link;    /* the log's own */
};

/* What waits for a partition's store in memory: beyond it further events are refused. */
enum { EVENT_LOG_WAITING_MAX = 4096, EVENT_LOG_WAITING_MAX_BYTES = 4 << 20 };

/* Any thread. ERR_FULL: too much waits in memory; ERR_STORE_UNAVAILABLE: the node stops. With an
 * error nothing was taken, and on_done is not called. */
MUST_CHECK enum err event_log_append(struct event_log *log, struct event_append *append);

/* Hears that a partition may have events that were not there before: also when hearing has begun,
 * and after an outage. */
struct event_listener {
    /* Any thread, one at a time for a partition. It must not block, nor ask the store inside. */
    void (*on_events)(struct event_listener *listener, unsigned partition);
    struct event_listener *next; /* the log's own */
};

/* Any thread. The listener stays until the log is freed. */
void event_log_listen(struct event_log *log, struct event_listener *listener);

/* What the store reports of a partition: store_events.on_inbox_event, on_missed and get_known. */
void event_log_on_event(struct event_log *log, unsigned index, struct inbox_event event);
void event_log_on_missed(struct event_log *log, unsigned index);
void event_log_get_known(struct event_log *log, unsigned index, struct store_known *ret_known);

#endif
