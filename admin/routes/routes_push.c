/* POST /push with application/json, and POST /broadcast (CONTRACT section 3). */
#include "admin/request.h"
#include "admin/routes/push_result.h"
#include "admin/routes/routes.h"
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

static void refuse_json(struct request *request, const struct json_problem *bad)
{
    struct problem problem = problem_from_json(bad);
    request_refuse(request, &problem);
}

static enum err parse(struct request *request, struct json_problem *ret_bad)
{
    struct push_request *parsed = &request->work.push.parsed;
    struct span key;
    unsigned n_keys = request_header(request, "Idempotency-Key", &key);
    enum err error =
        push_request_parse(buf_span(&request->body), &request->service->limits, parsed, ret_bad);
    if (error != ERR_OK || n_keys == 0)
        return error;
    if (n_keys == 1)
        return push_request_set_key(parsed, key, ret_bad);
    *ret_bad = (struct json_problem){ERR_INVALID_FIELD, 0, "idempotencyKey",
                                     "Idempotency-Key stands twice"};
    return ERR_INVALID_FIELD;
}

static void end_wait(struct pending_request *pending)
{
    struct request *request = CONTAINER_OF(pending, struct request, pending);
    gateway_end_wait(request->service->gateway, &request->work.push.op);
}

void push_run(struct request *request)
{
    const struct push_request *parsed = &request->work.push.parsed;
    struct json_problem bad;
    if (parse(request, &bad) != ERR_OK) {
        refuse_json(request, &bad);
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
    op->collapse_key = parsed->collapse_key;
    op->idempotency_key = parsed->idempotency_key;
    op->wait_ms = parsed->wait_ms;
    request->pending.wait_ms = parsed->wait_ms;
    request->pending.give_up = parsed->wait_ms > 0 ? end_wait : NULL;
    request_hand_over(request);
    gateway_push(request->service->gateway, op);
}

void push_finish(struct request *request)
{
    const struct gateway_push *op = &request->work.push.op;
    if (request->work.push.parsed.is_list) {
        char refusal[STORE_PROBLEM_MAX_BYTES];
        gateway_store_refusal(request->service->gateway, refusal);
        push_result_write_list(&request->out, op, refusal);
        request_reply(request, 200);
        return;
    }
    const struct gateway_target *target = &op->targets[0];
    if (target->error != ERR_OK) {
        request_refuse_with(request, target->error, NULL, NULL);
        return;
    }
    json_out_text(&request->out, "{");
    push_result_write(&request->out, op, target);
    json_out_text(&request->out, "}");
    request_reply(request, push_result_status(op));
}

void push_end(struct request *request)
{
    if (request->work.push.op.targets != &request->work.push.one)
        free(request->work.push.op.targets);
    push_request_fini(&request->work.push.parsed);
}

/* POST /broadcast */

static void on_broadcast_done(struct gateway_broadcast *broadcast)
{
    request_done(CONTAINER_OF(broadcast, struct request, work.broadcast));
}

void broadcast_run(struct request *request)
{
    struct gateway_broadcast *op = &request->work.broadcast;
    struct json_problem bad;
    if (broadcast_request_parse(buf_span(&request->body), &request->service->limits, &op->data,
                                &bad) != ERR_OK) {
        refuse_json(request, &bad);
        return;
    }
    op->on_done = on_broadcast_done;
    request_hand_over(request);
    gateway_broadcast(request->service->gateway, op);
}

void broadcast_finish(struct request *request)
{
    const struct gateway_broadcast *op = &request->work.broadcast;
    if (op->error != ERR_OK) {
        request_refuse_with(request, op->error, NULL, NULL);
        return;
    }
    json_out_printf(&request->out, "{\"online\":%" PRIu64 ",\"nodes\":%u}", op->online, op->nodes);
    request_reply(request, 200);
}
