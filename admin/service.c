#include "admin/service.h"

#include "gateway/base/listen_address.h"
#include "gateway/node/node.h"
#include "proto/note/event.h"

#include <stdlib.h>

static bool keeps_event(const struct options *options, enum event_type wanted)
{
    enum event_type type;
    for (size_t i = 0; i < options->events.n; i++)
        if (event_type_find(span_of(options->events.values[i]), &type) && type == wanted)
            return true;
    return false;
}

enum err service_new(const struct options *options, const struct route_table *routes,
                     struct node *node, struct service **ret_service, char *why, size_t why_cap)
{
    struct listen_address address;
    struct service *service = calloc(1, sizeof *service);
    if (service == NULL)
        return ERR_NO_MEMORY;
    enum err error = access_open(options->admin_keys, options->max_admin_requests_per_key,
                                 node->n_workers, &service->access, why, why_cap);
    if (error != ERR_OK) {
        free(service);
        return error;
    }
    atomic_init(&service->refs, 1);
    service->node = node;
    service->routes = routes;
    service->request_bytes = route_request_bytes(routes);
    service->max_body_bytes = (size_t)options->max_body;
    service->limits = (struct push_limits){
        .max_data_bytes = (size_t)options->max_data,
        .default_ttl_s = (uint32_t)(options->default_ttl / 1000),
        .keeps_alerts = keeps_event(options, EVENT_UNACKNOWLEDGED),
    };
    service->rules.is_unprotected = !options->insecure && options->admin_keys[0] == '\0';
    service->rules.is_tls = options->admin_tls_cert[0] != '\0';
    if (listen_address_parse(options->admin_listen, &address) == ERR_OK)
        service->rules.is_unix = address.is_unix;
    budget_init(&service->budget, node->n_workers);
    *ret_service = service;
    return ERR_OK;
}

struct service *service_ref(struct service *service)
{
    atomic_fetch_add_explicit(&service->refs, 1, memory_order_relaxed);
    return service;
}

void service_unref(struct service *service)
{
    if (atomic_fetch_sub_explicit(&service->refs, 1, memory_order_acq_rel) != 1)
        return;
    access_close(service->access);
    free(service);
}
