/* The routes for monitoring, and the drain (CONTRACT section 3). */
#include "admin/request.h"
#include "admin/routes/actions.h"
#include "admin/service.h"
#include "gateway/base/metrics.h"
#include "proto/json/json_members.h"

#include <inttypes.h>

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

static void run_stats(struct request *request)
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
    json_out_printf(out, "},\"draining\":%s}", stats.is_draining ? "true" : "false");
    request_reply(request, 200);
}

/* The same as SIGTERM, but Herald keeps running. */
static void run_drain(struct request *request)
{
    static const char *const no_names[] = {NULL};
    struct json_members members = {.names = no_names};
    struct json_problem bad;
    struct span body = buf_span(&request->body);
    if (body.len > 0 && json_members_scan(body, &members, &bad) != ERR_OK) {
        request_refuse_json(request, &bad);
        return;
    }
    uint32_t drain_ms = gateway_drain(request->service->node);
    json_out_printf(&request->out, "{\"drainMs\":%" PRIu32 "}", drain_ms);
    request_reply(request, 202);
}

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
    case NODE_DEGRADED:
        json_out_text(&request->out, "{\"degraded\":[\"store\"],\"detail\":");
        write_problem(request);
        json_out_text(&request->out, "}");
        break;
    case NODE_NO_STORE:
        refuse_without_store(request);
        return;
    case NODE_DRAINING:
        request_refuse_with(request, ERR_DRAINING, NULL, NULL);
        return;
    }
    request_reply(request, 200);
}

const struct route_action stats_action = {.request_bytes = sizeof(struct request),
                                          .run = run_stats};
const struct route_action drain_action = {.request_bytes = sizeof(struct request),
                                          .run = run_drain};
const struct route_action metrics_action = {.request_bytes = sizeof(struct request),
                                            .run = run_metrics};
const struct route_action livez_action = {.request_bytes = sizeof(struct request),
                                          .run = run_livez};
const struct route_action readyz_action = {.request_bytes = sizeof(struct request),
                                           .run = run_readyz};
