#include "gateway/requests/push_result.h"

#include "proto/bytes/put.h"

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

static char *put_fate(char *at, const struct gateway_push *push)
{
    if (fate_of(push) == GATEWAY_DELIVERED) {
        at = PUT_LITERAL(at, ",\"latencyMs\":");
        at = put_signed(at, push->latency_ms);
    } else if (fate_of(push) == GATEWAY_GONE) {
        at = PUT_LITERAL(at, ",\"cause\":\"");
        at = put_span(at, span_of(gap_cause_text(push->cause)));
        at = PUT_LITERAL(at, "\"");
    }
    if (push->wait_ms > 0 && !push->has_waited)
        at = PUT_LITERAL(at, ",\"waited\":false");
    return at;
}

char *push_result_put(char *at, const struct gateway_push *push,
                      const struct gateway_target *target)
{
    bool is_online = target->online > 0 || target->nodes > 0;
    if (push->ttl_s > 0) {
        at = PUT_LITERAL(at, "\"id\":\"");
        at += message_id_write(target->epoch, target->seq, at);
        at = PUT_LITERAL(at, "\",\"seq\":");
        at = put_number(at, target->seq);
        at = PUT_LITERAL(at, ",");
    }
    at = PUT_LITERAL(at, "\"status\":\"");
    at = put_span(at, span_of(status_of(push, is_online)));
    at = PUT_LITERAL(at, "\",\"online\":");
    at = put_number(at, target->online);
    at = PUT_LITERAL(at, ",\"nodes\":");
    at = put_number(at, target->nodes);
    if (push->ttl_s > 0) {
        at = PUT_LITERAL(at, ",\"expires\":");
        at = put_signed(at, target->expires_ms);
    }
    if (target->is_duplicate)
        at = PUT_LITERAL(at, ",\"duplicate\":true");
    return put_fate(at, push);
}

unsigned push_result_status(const struct gateway_push *push)
{
    return push->ttl_s > 0 && fate_of(push) == GATEWAY_PENDING ? 202 : 200;
}
