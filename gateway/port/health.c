#include "gateway/port/health.h"

#include "gateway/base/clock.h"

enum { LIVENESS_MS = 5000 };

bool health_is_live(const struct node *node)
{
    int64_t now_ms = clock_monotonic_ms();
    for (unsigned i = 0; i < node->n_workers; i++) {
        if (now_ms - atomic_load(&node->workers[i]->seen_ms) > LIVENESS_MS)
            return false;
    }
    return true;
}

enum gateway_readiness health_readiness(const struct node *node)
{
    if (atomic_load(&node->is_draining))
        return GATEWAY_DRAINING;
    if (!atomic_load(&node->was_store_up))
        return GATEWAY_NO_STORE;
    return atomic_load(&node->is_store_up) ? GATEWAY_READY : GATEWAY_DEGRADED;
}

static void say(struct arrival *arrival, const char *json)
{
    arrival_answer(arrival, 200, "application/json", NULL, span_of(json));
}

static void serve_livez(struct arrival *arrival)
{
    if (health_is_live(arrival_worker(arrival)->node))
        say(arrival, "{\"status\":\"live\"}");
    else
        arrival_problem(arrival, ERR_SYSTEM, "a worker has not turned for 5 s", NULL, NULL);
}

static void serve_readyz(struct arrival *arrival)
{
    switch (health_readiness(arrival_worker(arrival)->node)) {
    case GATEWAY_READY:
        say(arrival, "{\"status\":\"ready\"}");
        break;
    case GATEWAY_DEGRADED:
        say(arrival, "{\"degraded\":[\"store\"]}");
        break;
    case GATEWAY_NO_STORE:
        arrival_problem(arrival, ERR_STORE_UNAVAILABLE, "the store has not answered yet", NULL,
                        NULL);
        break;
    case GATEWAY_DRAINING:
        arrival_problem(arrival, ERR_DRAINING, NULL, NULL, NULL);
        break;
    }
}

bool health_serve(struct arrival *arrival)
{
    const struct http_head *head = arrival_head(arrival);
    const char *bytes = arrival_bytes(arrival).bytes;
    struct span path = http_part_span(bytes, head->path);
    struct span method = http_part_span(bytes, head->method);
    bool is_livez = span_equal(path, SPAN_LITERAL("/livez"));
    if (!is_livez && !span_equal(path, SPAN_LITERAL("/readyz")))
        return false;
    arrival_keep(arrival);
    if (!span_equal(method, SPAN_LITERAL("GET")) && !span_equal(method, SPAN_LITERAL("HEAD")))
        arrival_refuse(arrival, ERR_METHOD_NOT_ALLOWED, NULL, NULL, "GET, HEAD");
    else if (is_livez)
        serve_livez(arrival);
    else
        serve_readyz(arrival);
    return true;
}
