/* Makes a consumer in the partitions that miss it: in partition 0 first, which decides about the
 * number of consumers, then in the others. If partition 0 missed it, the consumer is new, and what
 * was made is taken back if one of the others fails. If not, a partition has lost it: there it
 * begins with the oldest event. */
#ifndef HERALD_EVENT_MAKING_H
#define HERALD_EVENT_MAKING_H

#include "gateway/events/event_consumers.h"

struct worker;

/* The caller owns it until on_done has run: once, in the turn of `home`, never inside the call. */
struct event_making {
    void (*on_done)(struct event_making *making);
    const struct events *events;
    struct worker *home;
    struct consumer_key key;
    bool from_now; /* a new one begins after the newest event */
    /* out */
    enum err error; /* ERR_OK; ERR_CONFLICT: there is no room; ERR_STORE_UNAVAILABLE,
                     * ERR_NO_MEMORY */
    char detail[EVENTS_DETAIL_MAX_BYTES]; /* of ERR_CONFLICT */
    unsigned missing;                     /* its own, as is what follows */
    struct consumers_call call;
    struct letter letter;
};

/* `missing` is not empty. */
void event_making_begin(struct event_making *making, unsigned missing);

#endif
