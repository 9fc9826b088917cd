/* Acknowledges up to a cursor: store_ack of each partition that has an epoch in it. */
#ifndef HERALD_EVENT_ACKS_H
#define HERALD_EVENT_ACKS_H

#include "gateway/events/event_consumers.h"

/* The caller owns it until on_done has run: once, on any thread, never inside the call. */
struct acks_call {
    void (*on_done)(struct acks_call *call);
    struct consumer_key key;
    struct event_position positions[STORE_PARTITIONS];
    /* out */
    enum err error;   /* ERR_OK, ERR_STORE_UNAVAILABLE */
    unsigned stale;   /* partitions whose epoch, or whose number, is not the present one's */
    unsigned unknown; /* partitions that have no such consumer */
    struct store_ack acks[STORE_PARTITIONS];
    const struct events *events; /* its own, as is what follows */
    atomic_uint left;
};

/* `partitions` is not empty. Any thread, between events_start and events_stop. */
void acks_ask(const struct events *events, struct acks_call *call, unsigned partitions);

#endif
