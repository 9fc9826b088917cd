#include "gateway/port/health_routes.h"

#include "gateway/node/health.h"

#include <stdio.h>

/* The connection goes on after the answer. false: it is refused (405). */
static bool is_get_or_head(struct http_conn *http_conn, struct span method)
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
    if (!is_get_or_head(http_conn, method))
        return;
    if (node_is_live(http_conn_node(http_conn)))
        answer_json(http_conn, "{\"status\":\"live\"}");
    else
        http_conn_problem(http_conn, ERR_SYSTEM, "a worker has not turned for 5 s", NULL, NULL);
}

void health_serve_readyz(struct http_conn *http_conn, struct span method)
{
    if (!is_get_or_head(http_conn, method))
        return;
    switch (node_readiness(http_conn_node(http_conn))) {
    case NODE_READY:
        answer_json(http_conn, "{\"status\":\"ready\"}");
        break;
    case NODE_PARTLY: {
        char json[64];
        snprintf(json, sizeof json, "{\"degraded\":[\"store\"],\"slotsMissing\":%u}",
                 node_slots_missing(http_conn_node(http_conn)));
        answer_json(http_conn, json);
        break;
    }
    case NODE_DEGRADED:
        answer_json(http_conn, "{\"degraded\":[\"store\"]}");
        break;
    case NODE_NO_STORE:
        http_conn_problem(http_conn, ERR_STORE_UNAVAILABLE, "the store has not answered yet", NULL,
                          NULL);
        break;
    case NODE_NO_WEBHOOKS:
        http_conn_problem(http_conn, ERR_STORE_UNAVAILABLE, NODE_NO_WEBHOOKS_DETAIL, NULL, NULL);
        break;
    case NODE_DRAINING:
        http_conn_problem(http_conn, ERR_DRAINING, NULL, NULL, NULL);
        break;
    }
}
