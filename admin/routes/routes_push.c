/* POST /push with application/json, and POST /broadcast (CONTRACT section 3). */
#include "admin/request.h"
#include "admin/routes/actions.h"
#include "admin/routes/push_results.h"
#include "admin/service.h"
#include "gateway/base/metrics.h"
#include "gateway/requests/push_result.h"

#include <inttypes.h>
#include <stdlib.h>

struct push_call {
    struct request request;
    struct gateway_push op;
    struct push_request parsed;
    struct gateway_target one; /* targets of a push to one user */
    bool is_waiting;           /* counted in its key's account */
};

static struct push_call *push_of(struct request *request)
{
    return CONTAINER_OF(request, struct push_call, request);
}

static void on_push_done(struct gateway_push *push)
{
    request_done(&CONTAINER_OF(push, struct push_call, op)->request);
}

/* A single target is part of the call; more are allocated. */
static bool make_targets(struct push_call *push)
{
    const struct push_request *parsed = &push->parsed;
    struct gateway_push *op = &push->op;
    size_t bytes = parsed->n_users * sizeof *op->targets;
    op->targets = &push->one;
    if (parsed->n_users > 1) {
        op->targets = NULL;
        if (!request_charge(&push->request, bytes))
            return false;
        op->targets = calloc(parsed->n_users, sizeof *op->targets);
        if (op->targets == NULL)
            return false;
    }
    op->n_targets = parsed->n_users;
    for (size_t i = 0; i < op->n_targets; i++)
        op->targets[i].user_id = push_request_user(parsed, i);
    return true;
}

static enum err parse_push(struct push_call *push, struct json_problem *ret_bad)
{
    struct request *request = &push->request;
    struct span key;
    unsigned n_keys = request_header(request, "Idempotency-Key", &key);
    enum err error = push_request_parse(buf_span(&request->body), &request->service->limits,
                                        &push->parsed, ret_bad);
    if (error != ERR_OK || n_keys == 0)
        return error;
    if (n_keys == 1)
        return push_request_set_key(&push->parsed, key, ret_bad);
    *ret_bad = (struct json_problem){ERR_INVALID_FIELD, 0, "idempotencyKey",
                                     "Idempotency-Key stands twice"};
    return ERR_INVALID_FIELD;
}

static void end_push_wait(struct request *request)
{
    gateway_end_wait(request->service->node, &push_of(request)->op);
}

/* A push whose key has too many that wait already is answered without waiting. */
static void begin_wait(struct push_call *push)
{
    struct request *request = &push->request;
    unsigned most = access_is_shared(&request->home->view) ? WAITS_MAX / 2 : WAITS_MAX;
    if (push->parsed.wait_ms == 0)
        return;
    if (atomic_fetch_add(&request->account->n_waiting, 1) >= most) {
        atomic_fetch_sub(&request->account->n_waiting, 1);
        metrics_count(METRIC_WAITS_REFUSED);
        return;
    }
    push->is_waiting = true;
    push->op.wait_ms = push->parsed.wait_ms;
    request->wait_ms = push->parsed.wait_ms;
    request->give_up = end_push_wait;
}

static void end_wait(struct push_call *push)
{
    if (push->is_waiting)
        atomic_fetch_sub(&push->request.account->n_waiting, 1);
    push->is_waiting = false;
}

static void run_push(struct request *request)
{
    struct push_call *push = push_of(request);
    const struct push_request *parsed = &push->parsed;
    struct gateway_push *op = &push->op;
    struct json_problem bad;
    if (parse_push(push, &bad) != ERR_OK) {
        request_refuse_json(request, &bad);
        return;
    }
    if (!make_targets(push)) {
        request_refuse_with(request, ERR_BUSY, NULL, NULL);
        return;
    }
    op->on_done = on_push_done;
    op->data = parsed->data;
    op->ttl_s = parsed->ttl_s;
    op->alert_after_s = parsed->alert_after_s;
    op->is_to_connection = parsed->is_to_connection;
    op->connection = parsed->connection;
    op->collapse_key = parsed->collapse_key;
    op->idempotency_key = parsed->idempotency_key;
    begin_wait(push);
    request_hand_over(request);
    gateway_push(request->service->node, op);
}

static void finish_push(struct request *request)
{
    struct push_call *push = push_of(request);
    struct gateway_push *op = &push->op;
    op->wait_ms = push->parsed.wait_ms; /* the answer says so if it did not wait */
    if (push->parsed.is_list) {
        char refusal[STORE_PROBLEM_MAX_BYTES];
        gateway_store_refusal(request->service->node, refusal);
        push_results_write(&request->out, op, refusal);
        request_reply(request, 200);
        return;
    }
    const struct gateway_target *target = &op->targets[0];
    if (target->error != ERR_OK) {
        request_refuse_with(request, target->error, NULL, push_results_no_room(op, target));
        return;
    }
    push_results_write_one(&request->out, op, target);
    request_reply(request, push_result_status(op));
}

static void end_push(struct request *request)
{
    struct push_call *push = push_of(request);
    end_wait(push);
    if (push->op.targets != &push->one)
        free(push->op.targets);
    push_request_fini(&push->parsed);
}

const struct route_action push_action = {.request_bytes = sizeof(struct push_call),
                                         .run = run_push,
                                         .finish = finish_push,
                                         .end = end_push,
                                         .is_direct = true};

/* POST /broadcast */

struct broadcast_call {
    struct request request;
    struct gateway_broadcast op;
};

static void on_broadcast_done(struct gateway_broadcast *broadcast)
{
    request_done(&CONTAINER_OF(broadcast, struct broadcast_call, op)->request);
}

static void run_broadcast(struct request *request)
{
    struct gateway_broadcast *op = &CONTAINER_OF(request, struct broadcast_call, request)->op;
    struct json_problem bad;
    if (broadcast_request_parse(buf_span(&request->body), &request->service->limits, &op->data,
                                &bad) != ERR_OK) {
        request_refuse_json(request, &bad);
        return;
    }
    op->on_done = on_broadcast_done;
    request_hand_over(request);
    gateway_broadcast(request->service->node, op);
}

static void finish_broadcast(struct request *request)
{
    const struct gateway_broadcast *op = &CONTAINER_OF(request, struct broadcast_call, request)->op;
    if (op->error != ERR_OK) {
        request_refuse_with(request, op->error, NULL, NULL);
        return;
    }
    json_out_printf(&request->out, "{\"online\":%" PRIu64 ",\"nodes\":%u}", op->online, op->nodes);
    request_reply(request, 200);
}

const struct route_action broadcast_action = {.request_bytes = sizeof(struct broadcast_call),
                                              .run = run_broadcast,
                                              .finish = finish_broadcast};
