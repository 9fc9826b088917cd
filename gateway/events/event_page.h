/* A page of a partition for one of its consumers: events, and gaps where events have left before
 * the consumer had read them, in the order of their ids. A page acknowledges nothing. */
#ifndef HERALD_EVENT_PAGE_H
#define HERALD_EVENT_PAGE_H

#include "gateway/events/events_struct.h"
#include "gateway/store/store_event_request.h"

struct event_item {
    bool is_gap;
    enum gap_cause cause;      /* of a gap */
    uint64_t from;             /* of a gap */
    uint64_t seq;              /* of a gap: the last number */
    int64_t time_ms;           /* of a gap: of the event behind it, or of the reading */
    struct notification *note; /* of an event: payload_data(note->payload) is its data */
};

/* The caller owns it, and keeps it with all it points to until on_done has run. */
struct event_page {
    void (*on_done)(struct event_page *page); /* any thread, never inside the call; no blocking */
    unsigned partition;
    struct span consumer; /* its key: enum store_consumer_kind, then the name */
    /* No epoch: what is above the consumer's position. Else the numbers above `after`, if that is
     * the partition's epoch and `after` is not above the head; otherwise as without. */
    struct epoch after_epoch;
    uint64_t after;
    uint32_t max_count; /* events; at least one is shown... */
    uint32_t max_bytes; /* ...and at most about so much data */
    /* out */
    enum err error;     /* ERR_OK; ERR_NOT_FOUND: the partition has no such consumer;
                         * ERR_STORE_UNAVAILABLE, ERR_NO_MEMORY */
    struct epoch epoch; /* none: nothing was ever written */
    uint64_t head;      /* the newest number */
    uint64_t position;  /* the consumer's */
    uint64_t start;     /* the page covers the numbers above it... */
    uint64_t last;      /* ...up to this one; the head: there are no more */
    size_t n;           /* gaps included */
    struct event_item *items;
    struct store_page page; /* its own, as is what follows */
    int64_t asked_ms;
};

/* Any thread, between events_start and events_stop. */
void event_page_read(const struct events *events, struct event_page *page);

/* Gives back what the answer holds; one that was never asked is fine, zeroed. */
void event_page_clear(struct event_page *page);

/* Appends the JSON object that a backend reads. */
MUST_CHECK enum err event_item_show(struct buf *out, unsigned partition, struct epoch epoch,
                                    const struct event_item *item);

#endif
