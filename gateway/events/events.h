/* The root of what backends hear: which types of events are kept, and the parts that write, read
 * and send them. The gateway's start and stop call this in the order below. Where --events is
 * empty, node->events is NULL, and every call with that does nothing. */
#ifndef HERALD_EVENTS_H
#define HERALD_EVENTS_H

#include "gateway/events/events_struct.h"

struct worker;

/* Are the options that concern events as they must be? Opens nothing. ERR_INVALID_FIELD: *why is a
 * sentence that names the option and says what to do. */
MUST_CHECK enum err events_check(const struct options *options, char *why, size_t why_cap);

/* Makes the parts, before the store is opened: sets node->events. Errors as events_check;
 * ERR_NO_MEMORY. */
MUST_CHECK enum err events_new(struct node *node, char *why, size_t why_cap);

/* This process serves: its subscriber port is open, and no other process has its store. From here
 * on the parts ask the store. Once, on the main thread. */
void events_start(struct node *node);

/* Each second on each worker's thread, from its start on. */
void events_on_second(struct worker *worker);

/* The workers have ended, or never ran: what waits in memory is answered, and nothing is asked of
 * the store any more. Before store_close. */
void events_stop(struct node *node);

/* After store_close, and after the last letter. NULL is fine. */
void events_free(struct events *events);

#endif
