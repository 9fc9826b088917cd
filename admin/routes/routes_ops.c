/* The routes for monitoring (CONTRACT section 3). Sums over the fleet are of the
 * nodes that are not silent: the clients of a silent one are most likely elsewhere, and would be
 * counted twice. */
#include "admin/request.h"
#include "admin/routes/actions.h"
#include "admin/service.h"
#include "gateway/base/clock.h"
#include "gateway/base/metrics.h"

#include <inttypes.h>
#include <stdlib.h>

/* The problem of the store, or null: a store that has just come back has none. */
static void write_problem(struct request *request)
{
    char problem[STORE_PROBLEM_MAX_BYTES];
    gateway_store_problem(request->service->node, problem);
    if (problem[0] == '\0')
        json_out_text(&request->out, "null");
    else
        json_out_string(&request->out, span_of(problem));
}

/* ---- GET /nodes, GET /stats ---- */

struct nodes_call {
    struct request request;
    struct gateway_nodes op;
};

static struct gateway_nodes *nodes_of(struct request *request)
{
    return &CONTAINER_OF(request, struct nodes_call, request)->op;
}

static void on_nodes_done(struct gateway_nodes *nodes)
{
    request_done(&CONTAINER_OF(nodes, struct nodes_call, op)->request);
}

static void ask_for_nodes(struct request *request)
{
    struct gateway_nodes *op = nodes_of(request);
    op->on_done = on_nodes_done;
    request_hand_over(request);
    gateway_nodes(request->service->node, op);
}

static void end_nodes(struct request *request)
{
    free(nodes_of(request)->nodes);
}

static void write_node(struct json_out *out, const struct gateway_node *node)
{
    static const char *const states[] = {"up", "draining", "silent"};
    const struct store_node *said = &node->said;
    json_out_text(out, "{\"node\":");
    json_out_string(out, span_of(said->node));
    json_out_text(out, ",\"name\":");
    json_out_string(out, (struct span){said->name.text, EPOCH_LEN});
    json_out_text(out, ",\"version\":");
    json_out_string(out, span_of(said->version));
    json_out_printf(out, ",\"self\":%s,\"state\":\"%s\"", node->is_self ? "true" : "false",
                    states[node->state]);
    json_out_printf(out, ",\"startedSeconds\":%" PRId64 ",\"seenSecondsAgo\":%" PRId64,
                    node->started_ago_ms / 1000, node->seen_ago_ms / 1000);
    json_out_printf(
        out, ",\"connections\":%" PRIu64 ",\"users\":%" PRIu64 ",\"maxConnections\":%" PRIu64,
        said->connections, said->users, said->max_connections);
    json_out_printf(out, ",\"pushesPerSecond\":%" PRIu64 ",\"store\":\"%s\"}",
                    said->pushes_per_second, said->is_store_up ? "up" : "down");
}

static void finish_nodes(struct request *request)
{
    const struct gateway_nodes *nodes = nodes_of(request);
    struct json_out *out = &request->out;
    if (nodes->error != ERR_OK) {
        request_refuse_with(request, nodes->error, NULL, NULL);
        return;
    }
    json_out_text(out, "{\"nodes\":[");
    for (size_t i = 0; i < nodes->n; i++) {
        json_out_text(out, i == 0 ? "" : ",");
        write_node(out, &nodes->nodes[i]);
    }
    json_out_printf(out, "],\"connections\":%" PRIu64 ",\"users\":%" PRIu64 "}", nodes->connections,
                    nodes->users);
    request_reply(request, 200);
}

const struct route_action nodes_action = {.request_bytes = sizeof(struct nodes_call),
                                          .run = ask_for_nodes,
                                          .finish = finish_nodes,
                                          .end = end_nodes};

static void write_upgrade(struct request *request)
{
    struct upgrade_status status;
    struct json_out *out = &request->out;
    gateway_upgrade_status(request->service->node, &status);
    json_out_printf(out, ",\"upgrade\":{\"state\":\"%s\"", upgrade_state_name(status.state));
    if (status.reason[0] != '\0') {
        json_out_text(out, ",\"reason\":");
        json_out_string(out, span_of(status.reason));
    }
    if (status.state == UPGRADE_ENDED) {
        json_out_text(out, ",\"from\":");
        json_out_string(out, span_of(status.version));
        json_out_printf(out, ",\"sessions\":%" PRIu32 ",\"pauseMs\":%" PRId64, status.n_sessions,
                        status.pause_ms);
    }
    if (status.state != UPGRADE_NONE)
        json_out_printf(out, ",\"secondsAgo\":%" PRId64,
                        (clock_monotonic_ms() - status.at_ms) / 1000);
    json_out_text(out, "}");
}

/* All but the closing brace. */
static void write_stats(struct request *request)
{
    struct gateway_stats stats;
    struct json_out *out = &request->out;
    gateway_stats(request->service->node, &stats);
    json_out_text(out, "{\"version\":\"" HERALD_VERSION "\",\"node\":");
    json_out_string(out, span_of(request->service->node->name));
    json_out_printf(out, ",\"connections\":%" PRIu64 ",\"users\":%" PRIu64 ",\"workers\":%u",
                    stats.connections, stats.users, stats.workers);
    json_out_printf(out, ",\"uptimeSeconds\":%" PRId64 ",\"store\":{\"kind\":\"%s\",\"up\":%s",
                    stats.uptime_ms / 1000, stats.store, stats.is_store_up ? "true" : "false");
    json_out_text(out, ",\"problem\":");
    write_problem(request);
    json_out_printf(out, "},\"draining\":%s,\"closing\":%" PRIu64,
                    stats.is_draining ? "true" : "false", stats.closing);
    write_upgrade(request);
}

static void write_fleet(struct json_out *out, const struct gateway_nodes *nodes)
{
    unsigned counts[] = {0, 0, 0}; /* by state */
    uint64_t max_connections = 0;
    uint64_t pushes_per_second = 0;
    for (size_t i = 0; i < nodes->n; i++) {
        const struct gateway_node *node = &nodes->nodes[i];
        counts[node->state]++;
        if (node->state == GATEWAY_NODE_SILENT)
            continue;
        max_connections += node->said.max_connections;
        pushes_per_second += node->said.pushes_per_second;
    }
    json_out_printf(out, ",\"fleet\":{\"nodes\":%zu,\"up\":%u,\"draining\":%u,\"silent\":%u",
                    nodes->n, counts[GATEWAY_NODE_UP], counts[GATEWAY_NODE_DRAINING],
                    counts[GATEWAY_NODE_SILENT]);
    json_out_printf(out, ",\"connections\":%" PRIu64 ",\"users\":%" PRIu64, nodes->connections,
                    nodes->users);
    json_out_printf(out, ",\"maxConnections\":%" PRIu64 ",\"pushesPerSecond\":%" PRIu64 "}",
                    max_connections, pushes_per_second);
}

static void finish_stats(struct request *request)
{
    const struct gateway_nodes *nodes = nodes_of(request);
    if (nodes->error != ERR_OK) {
        request_refuse_with(request, nodes->error, NULL, NULL);
        return;
    }
    write_stats(request);
    write_fleet(&request->out, nodes);
    json_out_text(&request->out, "}");
    request_reply(request, 200);
}

static void run_stats(struct request *request)
{
    uint64_t with_fleet = 0;
    if (!request_query_number(request, "fleet", 0, 1, &with_fleet))
        return;
    if (with_fleet == 1) {
        ask_for_nodes(request);
        return;
    }
    write_stats(request);
    json_out_text(&request->out, "}");
    request_reply(request, 200);
}

const struct route_action stats_action = {.request_bytes = sizeof(struct nodes_call),
                                          .run = run_stats,
                                          .finish = finish_stats,
                                          .end = end_nodes};

/* ---- GET /metrics, /livez and /readyz ---- */

static void run_metrics(struct request *request)
{
    request->content_type = "text/plain; version=0.0.4; charset=utf-8";
    if (metrics_print(&request->out.buf) != ERR_OK)
        request->out.has_failed = true;
    request_reply(request, 200);
}

static void run_livez(struct request *request)
{
    if (!node_is_live(request->service->node)) {
        request_refuse_with(request, ERR_SYSTEM, NULL, "a worker has not turned for 5 s");
        return;
    }
    json_out_text(&request->out, "{\"status\":\"live\"}");
    request_reply(request, 200);
}

static void refuse_without_store(struct request *request)
{
    char problem[STORE_PROBLEM_MAX_BYTES];
    gateway_store_problem(request->service->node, problem);
    request_refuse_with(request, ERR_STORE_UNAVAILABLE, NULL,
                        problem[0] != '\0' ? problem : "the store has not answered yet");
}

static void run_readyz(struct request *request)
{
    switch (node_readiness(request->service->node)) {
    case NODE_READY:
        json_out_text(&request->out, "{\"status\":\"ready\"}");
        break;
    case NODE_PARTLY:
        json_out_printf(&request->out, "{\"degraded\":[\"store\"],\"slotsMissing\":%u,\"detail\":",
                        node_slots_missing(request->service->node));
        write_problem(request);
        json_out_text(&request->out, "}");
        break;
    case NODE_DEGRADED:
        json_out_text(&request->out, "{\"degraded\":[\"store\"],\"detail\":");
        write_problem(request);
        json_out_text(&request->out, "}");
        break;
    case NODE_NO_STORE:
        refuse_without_store(request);
        return;
    case NODE_NO_WEBHOOKS:
        request_refuse_with(request, ERR_STORE_UNAVAILABLE, NULL, NODE_NO_WEBHOOKS_DETAIL);
        return;
    case NODE_DRAINING:
        request_refuse_with(request, ERR_DRAINING, NULL, NULL);
        return;
    }
    request_reply(request, 200);
}

const struct route_action metrics_action = {.request_bytes = sizeof(struct request),
                                            .run = run_metrics};
const struct route_action livez_action = {.request_bytes = sizeof(struct request),
                                          .run = run_livez};
const struct route_action readyz_action = {.request_bytes = sizeof(struct request),
                                           .run = run_readyz};
