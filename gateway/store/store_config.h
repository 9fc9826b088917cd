/* What a store is opened with, and what it reports without being asked. */
#ifndef HERALD_STORE_STORE_CONFIG_H
#define HERALD_STORE_STORE_CONFIG_H

#include "gateway/net/reactor.h"
#include "gateway/store/store_ask.h"
#include "gateway/store/store_watch.h"

/* What the store reports without being asked. Called on the store's threads; must not block. */
struct store_events {
    /* A notification was committed, or numbers were withdrawn. The callee refs it if it keeps it.
     * On the thread of the user's lane it may call store_leave. */
    void (*on_inbox_event)(void *owner, struct span user_id, struct inbox_event event);
    /* Calls of on_inbox_event for this user may have been missed: read the inbox. has_withdrawals:
     * withdrawals, and what notifications have replaced, may be among it. */
    void (*on_missed)(void *owner, struct span user_id, bool has_withdrawals);
    /* The store can be used, or no longer: it is away, or takes no writes (requests may be made all
     * the same, and what can be read is). The first call may come before store_open returns. */
    void (*on_state)(void *owner, bool is_up);
    /* A broadcast of this node or of another one. The answer is the number of sessions on this node
     * that it was sent to. Also called on the thread that asks. The callee refs the note if it
     * keeps it. */
    void (*on_broadcast)(void *owner, struct notification *note, struct store_question *question);
    /* A question about a user, of this node or of another one, behind every on_inbox_event that was
     * due before it. Also called on the thread that asks. */
    void (*on_question)(struct store_user_question *question);
    /* Another node waits for a number of a user who has sessions here; it is answered by
     * store_watch_answer, once or not at all. On the thread of the user's lane. */
    void (*on_watch)(void *owner, struct span user_id, const struct store_watch *watch);
    /* What this node waits for is acknowledged up to that number. 0: the store knows what has
     * become of it. `number` and `epoch` are of the watch; more than one answer may come. */
    void (*on_watch_answer)(void *owner, uint64_t number, struct epoch epoch, uint64_t acked);
    /* What do the user's sessions know of the inbox? On the thread of the user's lane. A shared
     * store compares that with what it has, for each user of store_page.is_arrival once a minute,
     * and calls on_missed if it differs. */
    void (*get_known)(void *owner, struct span user_id, struct store_known *ret_known);
    /* It has found then that the user is blocked. */
    void (*on_blocked)(void *owner, struct span user_id);
};

struct store_config {
    const char *url;          /* memory:  file:PATH  or an address of Redis */
    const char *redis_prefix; /* "herald" */
    int redis_wait_replicas;  /* an answer waits until so many replicas have what was written; below
                               * 0:  one, where it is known that there is one */
    const char *redis_tls_ca; /* PEM files of rediss://; these five: NULL or empty: none */
    const char *redis_tls_cert;
    const char *redis_tls_key;
    const char *redis_tls_name;      /* what the certificates must name */
    const char *redis_sentinel_auth; /* USER:PASSWORD at the Sentinels */
    const char *node_name;           /* as Redis's list of clients shows it; NULL: none */
    struct epoch name;               /* of this process: who asks it alone calls it so; none: the
                                      * store draws one */
    bool is_awaited;    /* file: another process still has it, and lets it go (store_upgrade.h); */
    int lock_fd;        /* this is its lock, which the store duplicates */
    uint32_t inbox_max; /* notifications a user */
    uint64_t inbox_max_bytes;      /* bytes of data a user */
    uint64_t max_bytes;            /* file: of the whole store; 0: no limit */
    uint32_t idempotency_window_s; /* how long a key is remembered */
    uint32_t idempotency_max;      /* keys that the local stores remember, beyond it the oldest is
                                    * forgotten; 0: STORE_IDEMPOTENCY_MAX */
    uint32_t events_max;           /* events a partition (store_event_request.h) */
    uint64_t events_max_bytes;     /* bytes of their data a partition */
    uint32_t event_ttl_s;          /* how long an event is kept */
    uint32_t alerts_max;           /* pending alerts a partition */
    struct reactor **lanes;        /* one a worker; redis runs its links on them */
    unsigned n_lanes;              /* at least 1 for redis; the local stores need none */
    struct store_events events;
    void *owner; /* handed to the events */
};

#endif
