/* Which consumers have to be told that the epoch of a partition is gone. A cursor says what its
 * reader knows of. For a call without one each node remembers how it has found each partition when
 * the consumer last read here: of another epoch now, the store has lost events since, whichever
 * node is the first to see it. What is found is told until a cursor of the present epoch is
 * acknowledged, here or, as the consumer's position shows, at another node. Kept in memory. Any
 * thread. */
#ifndef HERALD_EVENT_RESETS_H
#define HERALD_EVENT_RESETS_H

#include "proto/bytes/span.h"
#include "proto/error.h"
#include "proto/note/event_cursor.h"

struct event_resets;

/* At most that many consumers; one more, and one is forgotten, if possible one that has nothing to
 * be told. */
enum { EVENT_RESETS_MAX = 64 };

/* What is remembered of a consumer. */
struct event_known {
    unsigned resets; /* a bit for each partition of which a reset is to be told */
    /* With the bit: from where the reader goes on behind the gap, no epoch: it was not told here
     * yet. Without it: the epoch as it was found; none: nothing is known. */
    struct event_position positions[EVENT_CURSOR_PARTITIONS];
};

struct event_resets *event_resets_new(void); /* NULL: out of memory */
void event_resets_free(struct event_resets *resets);

void event_resets_get(struct event_resets *resets, struct span consumer,
                      struct event_known *ret_known);
void event_resets_set(struct event_resets *resets, struct span consumer,
                      const struct event_known *known);
/* A cursor was acknowledged: in the partitions of `gone` its epoch is over, in those of `present`
 * it is not. */
void event_resets_acked(struct event_resets *resets, struct span consumer, unsigned gone,
                        unsigned present);
/* The consumer was deleted. */
void event_resets_forget(struct event_resets *resets, struct span consumer);

/* Has the reset of a partition to be told to a reader without a cursor? `epoch` and `position` are
 * the partition's, and the consumer's in it. */
bool event_known_shows_reset(const struct event_known *known, unsigned partition,
                             struct epoch epoch, uint64_t position);

#endif
