/* Is this node well? Both ports answer it: the admin port (gateway.h) and the subscriber port, for
 * balancers that see nothing else. Any thread. */
#ifndef HERALD_NODE_HEALTH_H
#define HERALD_NODE_HEALTH_H

#include <stdbool.h>

struct node;

/* Has every worker turned within 5 s? */
bool node_is_live(const struct node *node);

/* PARTLY: a part of the store is away (node_slots_missing). DEGRADED: the store was there and is
 * away, or takes no writes. NO_STORE: it has never answered. NO_WEBHOOKS: it has not
 * yet said of each webhook that events are kept for it. */
enum node_readiness {
    NODE_READY,
    NODE_PARTLY,
    NODE_DEGRADED,
    NODE_NO_STORE,
    NODE_NO_WEBHOOKS,
    NODE_DRAINING
};
#define NODE_NO_WEBHOOKS_DETAIL "events are not yet kept for each webhook"
enum node_readiness node_readiness(const struct node *node);

/* store_slots_missing */
unsigned node_slots_missing(const struct node *node);

#endif
