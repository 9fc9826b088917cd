/* A store of events between a node without threads and a local store on the test's clock, in memory
 * or in a file: what is asked waits for event_store_turn, and may fail, be done and seem to fail,
 * or wait longer. The store can lose everything, and (a file) its process be killed. It knows what
 * was written, whatever was answered. One thread. Failures end the test (criterion). */
#ifndef HERALD_TESTS_EVENT_STORE_H
#define HERALD_TESTS_EVENT_STORE_H

#include "gateway/store/store_backend.h"
#include "gateway/store/store_event_request.h"

struct event_store_hooks {
    /* Events of these texts were numbered in the partition from this number on. */
    void (*on_written)(void *owner, const struct store_event_append *append);
    /* As store_events.on_inbox_event; not while it is cut. */
    void (*on_reported)(void *owner, unsigned partition, struct inbox_event event);
    void *owner;
};

enum { EVENT_STORE_EPOCHS_MAX = 40 };

struct event_store {
    struct store store; /* the node's */
    struct event_store_hooks hooks;
    struct store_config config;
    int64_t (*now_ms)(void);
    struct store *inner;
    char path[64];      /* empty: it is in memory */
    bool is_cut;        /* what is asked fails */
    bool loses_answers; /* what is asked is done, and fails */
    bool holds;         /* what is asked waits */
    struct epoch epochs[STORE_PARTITIONS][EVENT_STORE_EPOCHS_MAX]; /* one after the other */
    unsigned n_epochs[STORE_PARTITIONS];
    struct store_request *first;
    struct store_request **last;
};

/* `limits`: the ceilings and the time of events. */
void event_store_open(struct event_store *store, bool is_file, struct store_config limits,
                      int64_t (*now_ms)(void), struct event_store_hooks hooks);
void event_store_close(struct event_store *store); /* what waits is answered */
void event_store_turn(struct event_store *store);

/* Of the partition's epochs, the earliest 0; -1: it never had this one. */
int event_store_place_of(const struct event_store *store, unsigned partition, struct epoch epoch);

/* It has nothing any more. */
void event_store_lose(struct event_store *store);
/* Of a file: another process opens it. Of memory: nothing happens. */
void event_store_restart(struct event_store *store);
/* It takes no writes; it finds out within a second that it can again. */
void event_store_fill(struct event_store *store, bool is_full);

#endif
