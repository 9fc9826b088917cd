/* POST /online: which of these users have a session (CONTRACT section 3). It looks in the client
 * map of this node only, at once. The answer keeps the order of the request, repeated users
 * included. */
#include "admin/request.h"
#include "admin/routes/actions.h"
#include "admin/service.h"

static void write_online(struct request *request, const struct push_request *asked)
{
    struct json_out *out = &request->out;
    bool is_first = true;
    json_out_text(out, "{\"online\":[");
    for (size_t i = 0; i < asked->n_users; i++) {
        if (!gateway_is_online(request->service->node, asked->users[i]))
            continue;
        if (!is_first)
            json_out_text(out, ",");
        json_out_string(out, asked->users[i]);
        is_first = false;
    }
    json_out_text(out, "]}");
    request_reply(request, 200);
}

static void run_online(struct request *request)
{
    struct push_request asked;
    struct json_problem bad;
    if (users_request_parse(buf_span(&request->body), &asked, &bad) != ERR_OK) {
        request_refuse_json(request, &bad);
        return;
    }
    write_online(request, &asked);
    push_request_fini(&asked);
}

const struct route_action online_action = {.request_bytes = sizeof(struct request),
                                           .run = run_online};
