/* Accepted means kept, with replicas: the answer to what was written waits until enough replicas
 * have it. WAIT would hold up all that is sent behind it, so it has a link of its own. When the
 * answers of a turn are in, PING and WAIT are sent for all of them (the PING takes note of how far
 * the server has written, so WAIT covers what other links wrote); what is answered meanwhile goes
 * with the next. On the lane's thread.
 *
 * Too few replicas is one thing: with `auto` the push is accepted nevertheless. A primary that is
 * none any more, whose link breaks, or that another one stands in for, is another: what it wrote
 * may be nowhere by now, so the answer is an error, with `auto` as well. */
#ifndef HERALD_STORE_REDIS_REPLICAS_H
#define HERALD_STORE_REDIS_REPLICAS_H

#include "gateway/stores/redis/redis_common.h"
#include "gateway/stores/redis/redis_link.h"
#include "gateway/stores/redis/redis_primary.h"
#include "gateway/stores/redis/redis_run_id.h"

enum { REDIS_REPLICAS_MS = 500, REDIS_REPLICAS_REST_MS = 5000 };

/* ERR_STORE_UNAVAILABLE: Redis has kept it, and too few replicas have (never with `auto`), or it is
 * not known whether the next primary has it. */
typedef void (*redis_kept_fn)(void *owner, void *arg, size_t index, enum err error);

struct redis_kept {
    redis_kept_fn on_kept;
    void *arg;
    size_t index;
};

struct redis_kept_list {
    struct redis_kept *items;
    size_t n;
    size_t cap;
};

struct redis_replicas {
    struct redis_common *common;
    struct reactor *reactor;
    struct redis_primary *primary;
    struct redis_resolver *resolver;       /* where it connects; NULL: the address of `primary` */
    void *owner;                           /* for on_kept */
    const struct redis_run_id *written_at; /* where what is held was written; NULL: anywhere */
    struct redis_link *const *writer;      /* by which it was written; NULL: any */
    struct redis_run_id run_id;            /* where the link is */
    struct redis_link *link;               /* NULL: none was needed yet */
    unsigned n_wanted;                     /* 0: answers do not wait */
    int64_t rest_until_ms;                 /* with `auto`: none waits, after it was in vain */
    bool is_asking;                        /* a WAIT is under way */
    struct redis_kept_list asked;          /* those that it is for */
    struct redis_kept_list held;           /* for the next */
    struct reactor_task task;
};

/* primary, resolver and owner are set by the caller before. */
MUST_CHECK enum err redis_replicas_init(struct redis_replicas *replicas,
                                        struct redis_common *common, struct reactor *reactor);
/* Answers what waits. */
void redis_replicas_fini(struct redis_replicas *replicas);

/* The primary may be another from now on: the link connects anew, and what waits is answered. */
void redis_replicas_restart(struct redis_replicas *replicas, const char *why);

/* With `auto`: whether a replica is online, as the answer to ROLE says. */
void redis_replicas_take_role(struct redis_replicas *replicas, const struct redis_value *role);

/* Is the answer to what has just been written to wait? Also where nothing waits by itself, while
 * the primary is no more the one that Sentinels name: then the answer is an error. */
bool redis_replicas_are_wanted(const struct redis_replicas *replicas);
/* on_kept runs when the replicas have it, or without memory at once. Any number of calls. */
void redis_replicas_hold(struct redis_replicas *replicas, redis_kept_fn on_kept, void *arg,
                         size_t index);

#endif
