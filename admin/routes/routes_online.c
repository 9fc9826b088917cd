/* POST /online: which of these users have a session, on any node (CONTRACT section 3). The answer
 * keeps the order of the request, repeated users included. */
#include "admin/request.h"
#include "admin/routes/actions.h"
#include "admin/service.h"

#include <stdlib.h>

struct online_call {
    struct request request;
    struct gateway_online op;
    struct push_request asked;
};

static struct online_call *call_of(struct request *request)
{
    return CONTAINER_OF(request, struct online_call, request);
}

static void on_online_done(struct gateway_online *online)
{
    request_done(&CONTAINER_OF(online, struct online_call, op)->request);
}

static void run_online(struct request *request)
{
    struct online_call *call = call_of(request);
    struct json_problem bad;
    if (users_request_parse(buf_span(&request->body), &call->asked, &bad) != ERR_OK) {
        request_refuse_json(request, &bad);
        return;
    }
    call->op.on_done = on_online_done;
    call->op.n_users = call->asked.n_users;
    call->op.users = call->asked.users;
    call->op.is_online = malloc(call->asked.n_users * sizeof *call->op.is_online);
    if (call->op.is_online == NULL) {
        request_refuse_with(request, ERR_NO_MEMORY, NULL, NULL);
        return;
    }
    request_hand_over(request);
    gateway_online(request->service->node, &call->op);
}

static void finish_online(struct request *request)
{
    const struct gateway_online *op = &call_of(request)->op;
    struct json_out *out = &request->out;
    bool is_first = true;
    json_out_text(out, "{\"online\":[");
    for (size_t i = 0; i < op->n_users; i++) {
        if (!op->is_online[i])
            continue;
        if (!is_first)
            json_out_text(out, ",");
        json_out_string(out, op->users[i]);
        is_first = false;
    }
    json_out_text(out, "]}");
    request_reply(request, 200);
}

static void end_online(struct request *request)
{
    push_request_fini(&call_of(request)->asked);
    free(call_of(request)->op.is_online);
}

const struct route_action online_action = {.request_bytes = sizeof(struct online_call),
                                           .run = run_online,
                                           .finish = finish_online,
                                           .end = end_online};
