/* The consumers of a partition of the event log: what devices are to a user, but none is pushed out
 * by another, and there is no shared position. Pure; for the thread that runs the store's turns.
 *
 * Memory: 96 bytes a consumer. */
#ifndef HERALD_STORE_CONSUMERS_H
#define HERALD_STORE_CONSUMERS_H

#include "gateway/store/store_event_request.h"

struct consumer {
    uint64_t position; /* the number up to which it has acknowledged */
    int64_t seen_ms;   /* its last call; in records to the day at least */
    uint8_t key_len;
    char key[STORE_CONSUMER_KEY_MAX_BYTES];
};

/* In no order. */
struct consumers {
    uint8_t n;
    uint8_t cap;
    struct consumer list[];
};

/* Makes a consumer; the key must not be there yet. ERR_CONFLICT: there are STORE_MAX_CONSUMERS.
 * ERR_NO_MEMORY. */
MUST_CHECK enum err consumers_add(struct consumers **consumers, struct span key, uint64_t position,
                                  int64_t seen_ms);

/* NULL: there is none of this key. Valid until the list changes. */
struct consumer *consumers_find(struct consumers *consumers, struct span key);
void consumers_remove(struct consumers *consumers, struct consumer *consumer);

static inline uint8_t consumers_count(const struct consumers *consumers)
{
    return consumers == NULL ? 0 : consumers->n;
}

/* Up to where all have acknowledged; UINT64_MAX: there is none. */
uint64_t consumers_lowest(const struct consumers *consumers);

/* How the list is written in records. NULL, and an empty one, is no bytes. */
enum { CONSUMERS_MAX_BYTES = STORE_MAX_CONSUMERS * (8 + 8 + 1 + STORE_CONSUMER_KEY_MAX_BYTES) };
size_t consumers_size(const struct consumers *consumers);
void consumers_write(const struct consumers *consumers, char *out); /* consumers_size bytes */

/* Is this a list of positions not above head? */
bool consumers_are_sound(struct span bytes, uint64_t head);

/* Of bytes that are sound; none are NULL. */
MUST_CHECK enum err consumers_read(struct span bytes, struct consumers **ret_consumers);

#endif
