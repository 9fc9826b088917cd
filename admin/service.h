/* What all requests of the admin API share, on all workers: options, keys, routes and the memory
 * budget. Reference-counted, because the gateway may still have a request when admin_stop returns.
 * Threads: any; constant but for the atomics. */
#ifndef HERALD_ADMIN_SERVICE_H
#define HERALD_ADMIN_SERVICE_H

#include "admin/access.h"
#include "admin/budget.h"
#include "admin/guard.h"
#include "admin/route.h"
#include "gateway/gateway.h"
#include "proto/note/push_json.h"

#include <stdatomic.h>

struct service {
    atomic_uint refs;
    struct node *node;
    const struct route_table *routes;
    size_t request_bytes; /* of the largest request of these */
    struct access *access;
    struct guard_rules rules;
    struct push_limits limits;
    size_t max_body_bytes;
    struct budget budget;
    atomic_bool is_ending;   /* answers end their connections */
    atomic_bool is_stopping; /* and every request that becomes complete is refused */
};

/* One reference. `routes` has at least one row and must outlive it. ERR_INVALID_FIELD: the admin
 * keys, *why says what is wrong with them; ERR_NO_MEMORY. */
MUST_CHECK enum err service_new(const struct options *options, const struct route_table *routes,
                                struct node *node, struct service **ret_service, char *why,
                                size_t why_cap);
struct service *service_ref(struct service *service);
void service_unref(struct service *service);

static inline bool service_is_stopping(const struct service *service)
{
    return atomic_load_explicit(&service->is_stopping, memory_order_relaxed);
}

#endif
