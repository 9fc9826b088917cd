/* GET /online: who is online in the whole fleet, in pages. */
#include "admin/request.h"
#include "admin/routes/actions.h"
#include "admin/service.h"
#include "gateway/events/online_list.h"
#include "proto/bytes/user_id.h"

#include <stdlib.h>

struct online_list_call {
    struct request request;
    struct gateway_online_page op;
    char after[USER_ID_MAX_BYTES + 1];
};

static struct online_list_call *call_of(struct request *request)
{
    return CONTAINER_OF(request, struct online_list_call, request);
}

static void on_page_done(struct gateway_online_page *page)
{
    request_done(&CONTAINER_OF(page, struct online_list_call, op)->request);
}

static bool read_after(struct request *request, struct span *ret_after)
{
    char *after = call_of(request)->after;
    enum err error = request_query(request, "after", after, USER_ID_MAX_BYTES + 1);
    if (error == ERR_NOT_FOUND)
        return true;
    *ret_after = span_of(after);
    if (error == ERR_OK && ret_after->len > 0)
        return true;
    request_refuse_with(request, ERR_INVALID_FIELD, "after",
                        "after must be the next of an earlier page, which is a userId");
    return false;
}

static void run_online_list(struct request *request)
{
    struct gateway_online_page *op = &call_of(request)->op;
    uint64_t limit = ONLINE_LIST_MAX;
    if (!request_query_number(request, "limit", 1, ONLINE_LIST_MAX, &limit) ||
        !read_after(request, &op->after))
        return;
    op->limit = (uint32_t)limit;
    op->on_done = on_page_done;
    request_hand_over(request);
    gateway_online_page(request->service->node, op);
}

static void finish_online_list(struct request *request)
{
    const struct gateway_online_page *op = &call_of(request)->op;
    struct json_out *out = &request->out;
    if (op->error != ERR_OK) {
        request_refuse_with(request, op->error, NULL,
                            op->error == ERR_CONFLICT
                                ? "nobody keeps who is online: add user.online or user.offline to "
                                  "--events"
                                : NULL);
        return;
    }
    json_out_text(out, "{\"users\":[");
    for (size_t i = 0; i < op->n; i++) {
        json_out_text(out, i == 0 ? "" : ",");
        json_out_string(out, op->users[i]);
    }
    json_out_text(out, "],\"next\":");
    if (op->has_more)
        json_out_string(out, op->users[op->n - 1]);
    else
        json_out_text(out, "null");
    json_out_text(out, "}");
    request_reply(request, 200);
}

static void end_online_list(struct request *request)
{
    free(call_of(request)->op.users);
}

const struct route_action online_list_action = {.request_bytes = sizeof(struct online_list_call),
                                                .run = run_online_list,
                                                .finish = finish_online_list,
                                                .end = end_online_list};
