#include "gateway/node/health.h"

#include "gateway/base/clock.h"
#include "gateway/node/worker.h"
#include "gateway/store/store.h"

enum { LIVENESS_MS = 5000 };

bool node_is_live(const struct node *node)
{
    int64_t now_ms = clock_monotonic_ms();
    for (unsigned i = 0; i < node->n_workers; i++) {
        if (now_ms - atomic_load(&node->workers[i]->seen_ms) > LIVENESS_MS)
            return false;
    }
    return true;
}

enum node_readiness node_readiness(const struct node *node)
{
    if (atomic_load(&node->is_draining))
        return NODE_DRAINING;
    if (!atomic_load(&node->was_store_up))
        return NODE_NO_STORE;
    if (atomic_load(&node->awaits_webhooks))
        return NODE_NO_WEBHOOKS;
    if (!atomic_load(&node->is_store_up))
        return NODE_DEGRADED;
    return node_slots_missing(node) > 0 ? NODE_PARTLY : NODE_READY;
}

unsigned node_slots_missing(const struct node *node)
{
    return node->store != NULL ? store_slots_missing(node->store) : 0;
}
