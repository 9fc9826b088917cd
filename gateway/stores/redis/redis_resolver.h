/* Where a link connects, asked anew at each attempt, because the primary may be another by then. On
 * the link's thread. */
#ifndef HERALD_STORE_REDIS_RESOLVER_H
#define HERALD_STORE_REDIS_RESOLVER_H

#include "gateway/base/list.h"
#include "gateway/stores/redis/redis_address.h"

/* One question; embedded by who asks. */
struct redis_asker {
    struct list link;
    /* address: NULL: there is none, and `why` is a sentence. */
    void (*on_address)(struct redis_asker *asker, const struct redis_address *address,
                       const char *why);
};

/* First member of each kind's own struct. */
struct redis_resolver {
    /* Calls on_address once: inside this call, or later on the same thread. */
    void (*ask)(struct redis_resolver *resolver, struct redis_asker *asker);
    /* The question is taken back; it may be answered already. */
    void (*forget)(struct redis_resolver *resolver, struct redis_asker *asker);
    /* Who is connected to this address must leave it: the primary is at another. */
    bool (*has_moved)(struct redis_resolver *resolver, const struct redis_address *address);
};

#endif
