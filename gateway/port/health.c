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

/* The connection goes on after the answer. false: it is refused (405). */
static bool is_look(struct http_conn *http_conn, struct span method)
{
    http_conn_keep(http_conn);
    if (span_equal(method, SPAN_LITERAL("GET")) || span_equal(method, SPAN_LITERAL("HEAD")))
        return true;
    http_conn_refuse(http_conn, ERR_METHOD_NOT_ALLOWED, NULL, NULL, "GET, HEAD");
    return false;
}

static void answer_json(struct http_conn *http_conn, const char *json)
{
    http_conn_answer(http_conn, 200, "application/json", NULL, span_of(json));
}

void health_serve_livez(struct http_conn *http_conn, struct span method)
{
    if (!is_look(http_conn, method))
        return;
    if (health_is_live(http_conn_worker(http_conn)->node))
        answer_json(http_conn, "{\"status\":\"live\"}");
    else
        http_conn_problem(http_conn, ERR_SYSTEM, "a worker has not turned for 5 s", NULL, NULL);
}

void health_serve_readyz(struct http_conn *http_conn, struct span method)
{
    if (!is_look(http_conn, method))
        return;
    switch (health_readiness(http_conn_worker(http_conn)->node)) {
    case GATEWAY_READY:
        answer_json(http_conn, "{\"status\":\"ready\"}");
        break;
    case GATEWAY_DEGRADED:
        answer_json(http_conn, "{\"degraded\":[\"store\"]}");
        break;
    case GATEWAY_NO_STORE:
        http_conn_problem(http_conn, ERR_STORE_UNAVAILABLE, "the store has not answered yet", NULL,
                          NULL);
        break;
    case GATEWAY_DRAINING:
        http_conn_problem(http_conn, ERR_DRAINING, NULL, NULL, NULL);
        break;
    }
}
