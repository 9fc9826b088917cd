/* What all requests of the admin API share: options, keys, routes, the registry of waiting requests
 * and the memory budget. Reference-counted, because the gateway may still have a request when
 * admin_stop returns. Threads: service_ref and service_unref any; what else says so. */
#ifndef HERALD_ADMIN_SERVICE_H
#define HERALD_ADMIN_SERVICE_H

#include "admin/access.h"
#include "admin/guard.h"
#include "admin/pending.h"
#include "admin/route.h"
#include "gateway/gateway.h"
#include "proto/note/push_json.h"

#include <stdatomic.h>

enum { NODE_NAME_MAX_BYTES = 255 };

struct service {
    atomic_uint refs;
    struct node *node;
    const struct route_table *routes;
    size_t request_bytes; /* of the largest request of these */
    struct access *access;
    struct guard_rules rules;
    struct push_limits limits;
    size_t max_body_bytes;
    char node_name[NODE_NAME_MAX_BYTES + 1]; /* UTF-8 */
    uint64_t id_state;                       /* of request ids; the daemon's thread only */
    /* Of the memory budget: bodies, targets and results that are held. */
    atomic_size_t charged_bytes;
    struct pending pending;
};

/* One reference. `routes` has at least one row and must outlive it. ERR_INVALID_FIELD: the admin
 * keys, *why says what is wrong with them; ERR_NO_MEMORY: of memory or threads. */
MUST_CHECK enum err service_new(const struct options *options, const struct route_table *routes,
                                struct node *node, struct service **ret_service, char *why,
                                size_t why_cap);
struct service *service_ref(struct service *service);
void service_unref(struct service *service);

#endif
