/* The alerts of pushes: kept in the partition of each target once the push is, and before it is
 * answered. What comes in one turn of the reactor for one partition goes to Redis in one call, or a
 * few. Of a lane, on its thread. Without memory, and where a batch cannot be sent, the pushes are
 * answered inside redis_alerts_add. */
#ifndef HERALD_STORE_REDIS_EVENT_ALERTS_H
#define HERALD_STORE_REDIS_EVENT_ALERTS_H

#include "gateway/stores/redis/redis_event.h"

struct redis_alerts_batch;

struct redis_alerts {
    struct redis_route route; /* of the partitions; set by the owner */
    struct reactor *reactor;
    struct reactor_task task;
    struct redis_alerts_batch *gathered[STORE_PARTITIONS]; /* not sent yet; NULL: none */
};

/* What becomes of an alert: ERR_OK; ERR_FULL: too many are pending, or there is no room for its
 * event; ERR_STORE_UNAVAILABLE, ERR_NO_MEMORY. `owner` is the struct redis_commands that was given.
 */
typedef void redis_alert_done_fn(void *owner, void *append, size_t index, enum err error);

void redis_alerts_init(struct redis_alerts *alerts, struct reactor *reactor);
/* Answers what was not sent. After the links are gone. */
void redis_alerts_fini(struct redis_alerts *alerts);

/* The target was answered ERR_OK: its alert is due append->alert_after_s after its push. */
void redis_alerts_add(struct redis_alerts *alerts, struct redis_commands *commands,
                      const struct store_append *append, size_t index, redis_alert_done_fn *done);

#endif
