/* What waits on behalf of a backend: pushes for an acknowledgement (requests/push_waits), readers
 * for events (events/event_pulls). Together they are at most WAITS_MAX. Any thread. */
#ifndef HERALD_NODE_WAITS_H
#define HERALD_NODE_WAITS_H

#include <stdatomic.h>
#include <stdbool.h>

enum { WAITS_MAX = 1000 };

struct waits {
    atomic_uint n_pushes;
    atomic_uint n_readers;
    atomic_bool have_ended; /* whoever would wait is answered at once */
};

/* Is there room for one more? */
static inline bool waits_have_room(const struct waits *waits)
{
    return !atomic_load(&waits->have_ended) &&
           atomic_load(&waits->n_pushes) + atomic_load(&waits->n_readers) < WAITS_MAX;
}

#endif
