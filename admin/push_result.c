#include "admin/push_result.h"

#include "admin/problem.h"

#include <inttypes.h>

static enum gateway_fate fate_of(const struct gateway_push *push)
{
    return push->wait_ms > 0 ? push->fate : GATEWAY_PENDING;
}

static const char *status_of(const struct gateway_push *push, bool is_online)
{
    switch (fate_of(push)) {
    case GATEWAY_DELIVERED:
        return "delivered";
    case GATEWAY_GONE:
        return "gone";
    case GATEWAY_PENDING:
        break;
    }
    if (is_online)
        return "sent";
    return push->ttl_s == 0 ? "dropped" : "stored";
}

static void write_fate(struct json_out *out, const struct gateway_push *push)
{
    if (fate_of(push) == GATEWAY_DELIVERED)
        json_out_printf(out, ",\"latencyMs\":%" PRId64, push->latency_ms);
    else if (fate_of(push) == GATEWAY_GONE)
        json_out_printf(out, ",\"cause\":\"%s\"", gap_cause_text(push->cause));
    if (push->wait_ms > 0 && !push->has_waited)
        json_out_text(out, ",\"waited\":false");
}

void push_result_write(struct json_out *out, const struct gateway_push *push,
                       const struct gateway_target *target)
{
    bool is_online = target->online > 0 || target->nodes > 0;
    if (push->ttl_s > 0) {
        char id[MESSAGE_ID_MAX_BYTES];
        message_id_write(target->epoch, target->seq, id);
        json_out_printf(out, "\"id\":\"%s\",\"seq\":%" PRIu64 ",", id, target->seq);
    }
    json_out_printf(out, "\"status\":\"%s\",\"online\":%u,\"nodes\":%u", status_of(push, is_online),
                    target->online, target->nodes);
    if (push->ttl_s > 0)
        json_out_printf(out, ",\"expires\":%" PRId64, target->expires_ms);
    if (target->is_duplicate)
        json_out_text(out, ",\"duplicate\":true");
    write_fate(out, push);
}

void push_result_write_list(struct json_out *out, const struct gateway_push *push)
{
    json_out_text(out, "{\"results\":[");
    for (size_t i = 0; i < push->n_targets; i++) {
        const struct gateway_target *target = &push->targets[i];
        json_out_text(out, i == 0 ? "{\"userId\":" : ",{\"userId\":");
        json_out_string(out, target->user_id);
        json_out_text(out, ",");
        if (target->error == ERR_OK) {
            push_result_write(out, push, target);
        } else {
            struct problem problem = {.error = target->error};
            json_out_text(out, "\"status\":\"failed\",\"error\":");
            problem_write(out, &problem);
        }
        json_out_text(out, "}");
    }
    json_out_text(out, "]}");
}

unsigned push_result_status(const struct gateway_push *push)
{
    return push->ttl_s > 0 && fate_of(push) == GATEWAY_PENDING ? 202 : 200;
}
