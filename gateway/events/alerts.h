/* Alerts: pushes that asked with alertAfter for an event if they are not acknowledged then. The
 * store keeps each pending alert, and hands those that are due to whoever serves the partition
 * (serving.h). This part looks the notification up, and ends the alert with its event, or without
 * one where nobody needs it any more.
 *
 * An alert stays in the store until it is ended, so nothing is kept here that could get lost: where
 * the store is away, memory is short or the process dies, the alert is handed over again, here or
 * at another node. It is ended in one step with its event, so it becomes one event at most.
 *
 * Threads: the works of a partition belong to the thread of that partition's worker
 * (store_partition_lane). */
#ifndef HERALD_ALERTS_H
#define HERALD_ALERTS_H

#include "gateway/events/events_struct.h"
#include "gateway/store/store_event_request.h"

/* How long after its time an alert is looked at, so that acknowledgements count that came before
 * and are not written yet: a position is written within 1.0 s, or within 2.0 s where other nodes
 * share the store. */
enum { ALERT_GRACE_LOCAL_MS = 1400, ALERT_GRACE_SHARED_MS = 2400 };

/* Of a partition: alerts that this node has in hand, and those of them that the store is asked
 * about at a time. */
enum { ALERTS_IN_HAND = 2 * STORE_SERVE_ALERTS, ALERTS_AT_ONCE = 16 };

/* Hears of due alerts from events->serving, if there is one. Before events_start. ERR_NO_MEMORY. */
MUST_CHECK enum err alerts_new(struct events *events, struct alerts **ret_alerts);

/* The workers have ended: nothing is asked of the store from here on. NULL is fine. */
void alerts_stop(struct alerts *alerts);

/* After the last letter. NULL is fine. */
void alerts_free(struct alerts *alerts);

/* serving_listener.on_due: these are due, the oldest first, of n_pending in the partition. What is
 * in hand already is passed over. */
void alerts_on_due(struct alerts *alerts, unsigned partition, const struct store_alert *due,
                   size_t n, uint64_t n_pending);

/* serving_listener.on_lost: another node has them now. */
void alerts_on_lost(struct alerts *alerts, unsigned partition);

#endif
