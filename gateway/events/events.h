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

/* Waits, for a short time, until the store has said whether there is room for all who are to hear.
 * ERR_CONFLICT, ERR_SYSTEM: *why is a sentence. After events_start, where no process was before. */
MUST_CHECK enum err events_settle(struct node *node, char *why, size_t why_cap);

/* Reads the files again that the options name: if they have changed, or `must`. */
void events_reload(struct node *node, bool must);

/* Each second on each worker's thread, from its start on. */
void events_on_second(struct worker *worker);

/* A clean stop: the sessions are closed, and the workers still run. What is not written is written,
 * and the leases are given back. Waits up to a second for the store, if that is up. */
void events_leave(struct node *node);

/* An upgrade, in the old process. Before it parks its workers: who came and who went is written;
 * waits for the store until then, on the monotonic clock. Then, once the other process owns the
 * sockets and the workers are parked: what they both would do is left to that one. */
void events_flush(struct node *node, int64_t until_ms);
void events_let_go(struct node *node);
/* The name under which this process keeps presence, empty without events; and in the new process,
 * before events_start: it goes on under that name. */
struct span events_presence_name(const struct node *node);
void events_adopt_name(struct node *node, struct span name);

/* Whoever waits for events on that worker is answered now. Its thread, or after it has ended; the
 * event log is there. */
void events_end_waits(const struct worker *worker);

/* The workers have ended, or never ran: what waits in memory is answered, and nothing is asked of
 * the store any more. Before store_close. */
void events_stop(struct node *node);

/* After store_close, while the workers are there: delivers what the store has answered to threads
 * other than theirs, which have ended. */
void events_close(struct node *node);

/* After events_close, and after the last letter. NULL is fine. */
void events_free(struct events *events);

#endif
