/* POST /drain: sessions are closed, or that is taken back (CONTRACT section 3). */
#include "admin/request.h"
#include "admin/routes/actions.h"
#include "admin/service.h"
#include "proto/note/drain_json.h"

#include <inttypes.h>
#include <stdio.h>

struct drain_call {
    struct request request;
    struct gateway_drain op;
};

static struct gateway_drain *drain_of(struct request *request)
{
    return &CONTAINER_OF(request, struct drain_call, request)->op;
}

static void on_drain_done(struct gateway_drain *drain)
{
    request_done(&CONTAINER_OF(drain, struct drain_call, op)->request);
}

static void run_drain(struct request *request)
{
    struct gateway_drain *op = drain_of(request);
    struct drain_request parsed;
    struct json_problem bad;
    if (drain_request_parse(buf_span(&request->body), &parsed, &bad) != ERR_OK) {
        request_refuse_json(request, &bad);
        return;
    }
    op->on_done = on_drain_done;
    op->connections = parsed.connections;
    op->rate = parsed.rate;
    op->is_cancel = parsed.is_cancel;
    request_hand_over(request);
    gateway_drain(request->service->node, op);
}

static void refuse_drain(struct request *request)
{
    const struct gateway_drain *op = drain_of(request);
    char why[80];
    snprintf(why, sizeof why, "rate must close them within %d days", GATEWAY_DRAIN_MAX_S / 86400);
    const char *detail = NULL;
    if (op->error == ERR_INVALID_FIELD)
        detail = why;
    else if (op->is_ending)
        detail = "Herald is ending: after SIGTERM nothing can be asked any more";
    else if (op->is_cancelled)
        detail = "another request has taken it back meanwhile";
    else if (op->error == ERR_CONFLICT)
        detail = "all connections are being closed: cancel that first";
    request_refuse_with(request, op->error, op->error == ERR_INVALID_FIELD ? "rate" : NULL, detail);
}

static void finish_drain(struct request *request)
{
    const struct gateway_drain *op = drain_of(request);
    if (op->error != ERR_OK) {
        refuse_drain(request);
        return;
    }
    json_out_printf(&request->out, "{\"closing\":%" PRIu64 ",\"seconds\":%.10g}", op->closing,
                    op->ms / 1000.0);
    request_reply(request, 202);
}

const struct route_action drain_action = {
    .request_bytes = sizeof(struct drain_call), .run = run_drain, .finish = finish_drain};
