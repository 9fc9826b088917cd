/* POST /push (CONTRACT section 3). */
#include "admin/request.h"
#include "admin/routes.h"
#include "admin/service.h"

#include <inttypes.h>
#include <stdlib.h>

static void on_push_done(struct gateway_push *push)
{
    request_done(CONTAINER_OF(push, struct request, work.push.op));
}

/* One target stands in the request itself; more are allocated. */
static bool make_targets(struct request *request)
{
    const struct push_request *parsed = &request->work.push.parsed;
    struct gateway_push *op = &request->work.push.op;
    size_t bytes = parsed->n_users * sizeof *op->targets;
    op->targets = &request->work.push.one;
    if (parsed->n_users > 1) {
        op->targets = NULL;
        if (!request_charge(request, bytes))
            return false;
        op->targets = calloc(parsed->n_users, sizeof *op->targets);
        if (op->targets == NULL)
            return false;
    }
    op->n_targets = parsed->n_users;
    for (size_t i = 0; i < op->n_targets; i++)
        op->targets[i].user_id = parsed->users[i];
    return true;
}

void push_run(struct request *request)
{
    struct service *service = request->service;
    struct push_request *parsed = &request->work.push.parsed;
    struct json_problem bad;
    if (push_request_parse(buf_span(&request->body), &service->limits, parsed, &bad) != ERR_OK) {
        struct problem problem = problem_from_json(&bad);
        request_refuse(request, &problem);
        return;
    }
    if (!make_targets(request)) {
        request_refuse_with(request, ERR_BUSY, NULL, NULL);
        return;
    }
    struct gateway_push *op = &request->work.push.op;
    op->on_done = on_push_done;
    op->data = parsed->data;
    op->ttl_s = parsed->ttl_s;
    request_hand_over(request);
    gateway_push(service->gateway, op);
}

/* The members of one result, from `"id"` or `"status"` on. */
static void write_result(struct json_out *out, const struct gateway_push *op,
                         const struct gateway_target *target)
{
    bool is_online = target->online > 0 || target->nodes > 0;
    if (op->ttl_s == 0) {
        json_out_printf(out, "\"status\":\"%s\",\"online\":%u,\"nodes\":%u",
                        is_online ? "sent" : "dropped", target->online, target->nodes);
        return;
    }
    char id[MESSAGE_ID_MAX_BYTES];
    message_id_write(target->epoch, target->seq, id);
    json_out_printf(out,
                    "\"id\":\"%s\",\"seq\":%" PRIu64
                    ",\"status\":\"%s\",\"online\":%u,\"nodes\":%u,\"expires\":%" PRId64,
                    id, target->seq, is_online ? "sent" : "stored", target->online, target->nodes,
                    op->expires_ms);
}

static void write_list(struct json_out *out, const struct gateway_push *op)
{
    json_out_text(out, "{\"results\":[");
    for (size_t i = 0; i < op->n_targets; i++) {
        const struct gateway_target *target = &op->targets[i];
        json_out_text(out, i == 0 ? "{\"userId\":" : ",{\"userId\":");
        json_out_string(out, target->user_id);
        json_out_text(out, ",");
        if (target->error == ERR_OK) {
            write_result(out, op, target);
        } else {
            struct problem problem = {.error = target->error};
            json_out_text(out, "\"status\":\"failed\",\"error\":");
            problem_write(out, &problem);
        }
        json_out_text(out, "}");
    }
    json_out_text(out, "]}");
}

void push_finish(struct request *request)
{
    const struct gateway_push *op = &request->work.push.op;
    if (request->work.push.parsed.is_list) {
        write_list(&request->out, op);
        request_reply(request, 200);
        return;
    }
    const struct gateway_target *target = &op->targets[0];
    if (target->error != ERR_OK) {
        request_refuse_with(request, target->error, NULL, NULL);
        return;
    }
    json_out_text(&request->out, "{");
    write_result(&request->out, op, target);
    json_out_text(&request->out, "}");
    request_reply(request, op->ttl_s == 0 ? 200 : 202);
}

void push_end(struct request *request)
{
    if (request->work.push.op.targets != &request->work.push.one)
        free(request->work.push.op.targets);
    push_request_fini(&request->work.push.parsed);
}
