/* One action on a consumer in several partitions at once: store_consumers of each, and what they
 * said together. */
#ifndef HERALD_EVENT_CONSUMERS_H
#define HERALD_EVENT_CONSUMERS_H

#include "gateway/events/event_requests.h"
#include "gateway/events/events_struct.h"
#include "gateway/events/partition_asks.h"

/* A consumer's key (store_event_request.h). */
struct consumer_key {
    char text[STORE_CONSUMER_KEY_MAX_BYTES];
    size_t len;
};

struct consumer_key consumer_key_of(enum store_consumer_kind kind, struct span name);

static inline struct span consumer_key_span(const struct consumer_key *key)
{
    return (struct span){key->text, key->len};
}

/* The caller owns it until on_done has run: once, on any thread, never inside the call. */
struct consumers_call {
    void (*on_done)(struct consumers_call *call);
    struct consumer_key key; /* of ADD and REMOVE */
    bool from_now;           /* of ADD */
    /* out */
    enum err error;   /* of the first partition that failed */
    unsigned changed; /* the partitions in which it was added or removed */
    uint64_t unread;  /* of REMOVE */
    struct store_consumers answers[STORE_PARTITIONS]; /* of the partitions that were asked */
    const struct events *events;                      /* its own, as is what follows */
    atomic_uint left;
};

/* `partitions` is not empty. Any thread, between events_start and events_stop. */
void consumers_ask(const struct events *events, struct consumers_call *call, unsigned partitions,
                   enum store_consumers_action action);

/* Nodes that share a store show each other which endpoints their files have: each adds the consumer
 * of each endpoint again in this partition, so often. One that was not seen for so long is in the
 * file of no node that runs and reaches the store. */
enum { WEBHOOK_LIFE_PARTITION = 0, WEBHOOK_LIFE_MS = 10000, WEBHOOK_LIFE_OVER_MS = 25000 };

#endif
