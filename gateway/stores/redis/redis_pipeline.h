/* Commands on their way to a Redis: the bytes that are not sent yet (RESP), and what waits for
 * which answer. Nothing is allocated per command; both rings grow to their ceilings, and a large
 * one is given back once it is empty. One thread. */
#ifndef HERALD_STORE_REDIS_PIPELINE_H
#define HERALD_STORE_REDIS_PIPELINE_H

#include "proto/bytes/buf.h"

struct redis_value;

struct redis_waiting {
    void (*on_reply)(void *owner, void *arg, size_t index, const struct redis_value *reply);
    void *arg;
    size_t index;
    int64_t asked_ms; /* the caller's */
};

struct redis_pipeline {
    struct buf out;
    size_t sent; /* bytes of out that are gone already */
    struct redis_waiting *ring;
    size_t cap; /* a power of two */
    size_t max_waiting;
    size_t first; /* rising; its place is first % cap */
    size_t last;
};

void redis_pipeline_init(struct redis_pipeline *pipeline, size_t max_bytes, size_t max_waiting);
void redis_pipeline_fini(struct redis_pipeline *pipeline);

/* ERR_BUSY: a ceiling is reached. ERR_NO_MEMORY. */
MUST_CHECK enum err redis_pipeline_add(struct redis_pipeline *pipeline, const struct span *args,
                                       size_t n_args, const struct redis_waiting *waiting);

struct span redis_pipeline_unsent(const struct redis_pipeline *pipeline);
void redis_pipeline_sent(struct redis_pipeline *pipeline, size_t len);
void redis_pipeline_drop_unsent(struct redis_pipeline *pipeline);

size_t redis_pipeline_waiting(const struct redis_pipeline *pipeline);
/* The oldest that waits, until the next call; NULL: there is none. */
const struct redis_waiting *redis_pipeline_oldest(const struct redis_pipeline *pipeline);
/* Takes the oldest that waits; false: there is none. */
bool redis_pipeline_take(struct redis_pipeline *pipeline, struct redis_waiting *ret_waiting);

#endif
