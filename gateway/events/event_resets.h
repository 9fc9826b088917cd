/* Which consumers have to be told that the epoch of a partition is gone: noted when a cursor is
 * found to be of an epoch that is over, and taken away when a cursor of the present one is
 * acknowledged. Kept in memory, on the node that took the cursor. Any thread. */
#ifndef HERALD_EVENT_RESETS_H
#define HERALD_EVENT_RESETS_H

#include "proto/bytes/span.h"
#include "proto/error.h"

struct event_resets;

/* At most that many consumers; one more, and the one that was noted first is forgotten. */
enum { EVENT_RESETS_MAX = 64 };

struct event_resets *event_resets_new(void); /* NULL: out of memory */
void event_resets_free(struct event_resets *resets);

/* A bit for each partition. */
unsigned event_resets_of(struct event_resets *resets, struct span consumer);
void event_resets_set(struct event_resets *resets, struct span consumer, unsigned partitions);
void event_resets_add(struct event_resets *resets, struct span consumer, unsigned partitions);

#endif
