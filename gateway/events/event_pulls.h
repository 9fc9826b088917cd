/* Readers of events, GET /events: each is read for on the worker that its consumer's name leads to,
 * and may wait there until an event comes (event_requests.h). Of one consumer one reader waits: a
 * later one has the earlier one answered, because a client that asks again has given that up. */
#ifndef HERALD_EVENT_PULLS_H
#define HERALD_EVENT_PULLS_H

#include "gateway/events/events_struct.h"

struct worker;

/* NULL: out of memory. Freed when every reader is answered; NULL is fine. */
struct event_pulls *event_pulls_new(struct events *events);
void event_pulls_free(struct event_pulls *pulls);

/* Answers the readers that wait on that worker with what is known. Its thread, or after it has
 * ended. */
void event_pulls_end_waits(struct event_pulls *pulls, const struct worker *worker);

#endif
