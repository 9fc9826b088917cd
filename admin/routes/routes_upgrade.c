/* POST /upgrade: the program starts itself anew, and hands all connections over. Only for whoever
 * is on this machine: it runs a file there. */
#include "admin/request.h"
#include "admin/routes/actions.h"
#include "admin/service.h"
#include "proto/json/json_members.h"

static void run_upgrade(struct request *request)
{
    static const char *const no_names[] = {NULL};
    struct json_members members = {.names = no_names};
    struct json_problem bad;
    char why[UPGRADE_REASON_MAX_BYTES];
    struct span body = buf_span(&request->body);
    if (body.len > 0 && json_members_scan(body, &members, &bad) != ERR_OK) {
        request_refuse_json(request, &bad);
        return;
    }
    if (!request_is_local(request)) {
        request_refuse_with(request, ERR_FORBIDDEN, NULL,
                            "an upgrade is asked for on this machine: over a unix socket or "
                            "loopback");
        return;
    }
    enum err error = gateway_ask_for_upgrade(request->service->node, why, sizeof why);
    if (error != ERR_OK) {
        request_refuse_with(request, error, NULL, why);
        return;
    }
    json_out_text(&request->out, "{\"state\":\"starting\"}");
    request_reply(request, 202);
}

const struct route_action upgrade_action = {.request_bytes = sizeof(struct request),
                                            .run = run_upgrade};
