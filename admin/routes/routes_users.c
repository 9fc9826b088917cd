/* Users: close the connections of one, look at one (CONTRACT section 3).
 *
 * The happy path: a route checks the address or the body, asks the gateway with a struct of
 * requests.h, and writes the answer once on_done has run.
 * The failures: a kick whose block or purge failed says what was done all the same, and a look at a
 * user while the store is unreachable shows null for what only the store knows. */
#include "admin/request.h"
#include "admin/routes/actions.h"
#include "admin/service.h"
#include "proto/note/kick_json.h"

#include <inttypes.h>

static void write_nodes(struct json_out *out, unsigned n_asked, unsigned n_answered)
{
    json_out_printf(out, ",\"nodes\":{\"asked\":%u,\"answered\":%u}", n_asked, n_answered);
}

/* POST /deleteClient and DELETE /users/ID/connections */

struct kick_call {
    struct request request;
    struct gateway_kick op;
    struct kick_request parsed; /* of DELETE, which has no body: empty */
};

static struct kick_call *kick_of(struct request *request)
{
    return CONTAINER_OF(request, struct kick_call, request);
}

static void on_kick_done(struct gateway_kick *kick)
{
    request_done(&CONTAINER_OF(kick, struct kick_call, op)->request);
}

static void kick_user(struct request *request, struct span user_id, struct span reason,
                      bool is_purge, uint32_t block_s)
{
    struct gateway_kick *op = &kick_of(request)->op;
    op->on_done = on_kick_done;
    op->user_id = user_id;
    op->reason = reason;
    op->is_purge = is_purge;
    op->block_s = block_s;
    request_hand_over(request);
    gateway_kick(request->service->node, op);
}

static void run_kick_body(struct request *request)
{
    struct kick_request *parsed = &kick_of(request)->parsed;
    struct json_problem bad;
    if (kick_request_parse(buf_span(&request->body), parsed, &bad) != ERR_OK) {
        request_refuse_json(request, &bad);
        return;
    }
    kick_user(request, (struct span){parsed->user_id, parsed->user_id_len},
              (struct span){parsed->reason, parsed->reason_len}, parsed->is_purge, parsed->block_s);
}

static void run_kick_path(struct request *request)
{
    struct span user_id;
    if (request_path_user(request, &user_id))
        kick_user(request, user_id, SPAN_LITERAL(""), false, 0);
}

/* Says what was done before the failure, so that an operator knows what is left to do. */
static const char *why_incomplete(const struct gateway_kick *op)
{
    if (op->blocked_until_ms != 0)
        return "the sessions are closed and the user is blocked, and nothing was purged";
    if (op->block_s == 0)
        return "the sessions are closed, and nothing was purged";
    return op->is_purge ? "the sessions are closed, and nothing was blocked or purged"
                        : "the sessions are closed, and the user is not blocked";
}

/* Nothing was closed, purged or blocked. That nobody is there is known when each node that was
 * asked has said so. */
static bool is_not_connected(const struct gateway_kick *op)
{
    return op->closed == 0 && op->purged == 0 && op->blocked_until_ms == 0 &&
           op->n_answered == op->n_asked;
}

static void write_time_or_null(struct json_out *out, int64_t time_ms)
{
    if (time_ms == 0)
        json_out_text(out, "null");
    else
        json_out_printf(out, "%" PRId64, time_ms);
}

static void finish_kick(struct request *request)
{
    const struct gateway_kick *op = &kick_of(request)->op;
    struct json_out *out = &request->out;
    if (op->error != ERR_OK) {
        request_refuse_with(request, op->error, NULL,
                            op->closed > 0 || op->blocked_until_ms != 0 ? why_incomplete(op)
                                                                        : NULL);
        return;
    }
    if (is_not_connected(op)) {
        request_refuse_with(request, op->is_alone ? ERR_STORE_UNAVAILABLE : ERR_NOT_CONNECTED, NULL,
                            op->is_alone ? "the user has no session on this node, and the others "
                                           "cannot be asked"
                                         : NULL);
        return;
    }
    json_out_text(out, "{\"userId\":");
    json_out_string(out, op->user_id);
    json_out_printf(out,
                    ",\"closed\":%" PRIu64 ",\"purged\":%" PRIu64 ",\"blockedUntil\":", op->closed,
                    op->purged);
    write_time_or_null(out, op->blocked_until_ms);
    write_nodes(out, op->n_asked, op->n_answered);
    json_out_text(out, "}");
    request_reply(request, 200);
}

const struct route_action kick_body_action = {
    .request_bytes = sizeof(struct kick_call), .run = run_kick_body, .finish = finish_kick};
const struct route_action kick_path_action = {
    .request_bytes = sizeof(struct kick_call), .run = run_kick_path, .finish = finish_kick};

/* GET /users/ID */

struct user_call {
    struct request request;
    struct gateway_user op;
};

static struct gateway_user *user_op_of(struct request *request)
{
    return &CONTAINER_OF(request, struct user_call, request)->op;
}

static void on_user_done(struct gateway_user *user)
{
    request_done(&CONTAINER_OF(user, struct user_call, op)->request);
}

static void run_user(struct request *request)
{
    struct gateway_user *op = user_op_of(request);
    if (!request_path_user(request, &op->user_id))
        return;
    op->on_done = on_user_done;
    request_hand_over(request);
    gateway_user(request->service->node, op);
}

/* While the store is unreachable the state of the inbox is unknown and written as null; an operator
 * still sees the connections. */
static void write_inbox(struct json_out *out, const struct gateway_user *user)
{
    if (user->error != ERR_OK) {
        json_out_text(out, ",\"pending\":null,\"oldestPendingSeconds\":null,\"epoch\":null,"
                           "\"head\":null,\"acked\":null,\"blockedUntil\":null");
        return;
    }
    json_out_printf(out, ",\"pending\":%" PRIu64 ",\"oldestPendingSeconds\":%" PRId64,
                    user->pending, user->oldest_pending_ms / 1000);
    if (epoch_is_none(user->epoch)) {
        json_out_text(out, ",\"epoch\":null");
    } else {
        json_out_text(out, ",\"epoch\":");
        json_out_string(out, (struct span){user->epoch.text, EPOCH_LEN});
    }
    json_out_printf(out,
                    ",\"head\":%" PRIu64 ",\"acked\":%" PRIu64 ",\"blockedUntil\":", user->head,
                    user->acked);
    write_time_or_null(out, user->blocked_until_ms);
}

/* A node that was asked has sessions of the user, also where it has not answered. Redis that does
 * not say who was asked does not say this either. */
static bool is_online(const struct gateway_user *user)
{
    return user->n_connections > 0 || (user->error == ERR_OK && user->n_answered < user->n_asked);
}

static void finish_user(struct request *request)
{
    const struct gateway_user *user = user_op_of(request);
    struct json_out *out = &request->out;
    if (user->error != ERR_OK && user->error != ERR_STORE_UNAVAILABLE) {
        request_refuse_with(request, user->error, NULL, NULL);
        return;
    }
    json_out_text(out, "{\"userId\":");
    json_out_string(out, user->user_id);
    json_out_printf(out, ",\"online\":%s", is_online(user) ? "true" : "false");
    write_inbox(out, user);
    json_out_text(out, ",\"connections\":[");
    json_out_raw(out, buf_span(&user->connections));
    json_out_text(out, user->is_truncated ? "],\"truncated\":true" : "]");
    write_nodes(out, user->n_asked, user->n_answered);
    json_out_text(out, "}");
    request_reply(request, 200);
}

static void end_user(struct request *request)
{
    gateway_user_clear(user_op_of(request));
}

const struct route_action user_action = {.request_bytes = sizeof(struct user_call),
                                         .run = run_user,
                                         .finish = finish_user,
                                         .end = end_user};
