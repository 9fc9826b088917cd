/* How full the partitions are, and how far behind each consumer is: looked at each 2 seconds, for
 * the metrics and for a line of the log. */
#ifndef HERALD_EVENT_GAUGES_H
#define HERALD_EVENT_GAUGES_H

#include "gateway/events/events_struct.h"

struct worker;
struct event_gauges;

/* ERR_NO_MEMORY. Freed after store_close; NULL is fine. */
MUST_CHECK enum err event_gauges_new(struct events *events, struct event_gauges **ret_gauges);
void event_gauges_free(struct event_gauges *gauges);

/* Looks for the first time: what is written from here on is counted, if the store is there. Before
 * anything is written. */
void event_gauges_start(struct event_gauges *gauges);

/* Each second on each worker's thread, after events_start. */
void event_gauges_on_second(struct event_gauges *gauges, const struct worker *worker);

#endif
