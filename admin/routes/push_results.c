#include "admin/routes/push_results.h"

#include "admin/problem.h"
#include "gateway/requests/push_result.h"
#include "proto/bytes/put.h"
#include "proto/bytes/user_id.h"
#include "proto/json/json_text.h"

void push_results_write_one(struct json_out *out, const struct gateway_push *push,
                            const struct gateway_target *target)
{
    char text[PUSH_RESULT_MAX_BYTES + 2];
    char *at = PUT_LITERAL(text, "{");
    at = push_result_put(at, push, target);
    at = PUT_LITERAL(at, "}");
    json_out_raw(out, (struct span){text, (size_t)(at - text)});
}

/* One element of many thousands, mostly: written in one piece. The userId needs no escapes. */
static void write_kept(struct json_out *out, const struct gateway_push *push,
                       const struct gateway_target *target)
{
    static const char begin[] = "{\"userId\":\"";
    static const char middle[] = "\",";
    char text[sizeof begin + USER_ID_MAX_BYTES + sizeof middle + PUSH_RESULT_MAX_BYTES + 1];
    char *at = PUT_LITERAL(text, begin);
    at = put_span(at, target->user_id);
    at = PUT_LITERAL(at, middle);
    at = push_result_put(at, push, target);
    at = PUT_LITERAL(at, "}");
    json_out_raw(out, (struct span){text, (size_t)(at - text)});
}

const char *push_results_no_room(const struct gateway_push *push,
                                 const struct gateway_target *target)
{
    return push->alert_after_s > 0 && target->has_no_room
               ? "no room for the alert: too many are pending (--alerts-max), or the event log "
                 "or the store is full"
               : NULL;
}

static void write_any(struct json_out *out, const struct gateway_push *push,
                      const struct gateway_target *target, const char *refusal)
{
    char text[PUSH_RESULT_MAX_BYTES];
    json_out_text(out, "{\"userId\":");
    json_out_string(out, target->user_id);
    json_out_text(out, ",");
    if (target->error == ERR_OK) {
        char *end = push_result_put(text, push, target);
        json_out_raw(out, (struct span){text, (size_t)(end - text)});
    } else {
        struct problem problem = {.error = target->error};
        if (target->error == ERR_STORE_UNAVAILABLE) {
            problem.detail = push_results_no_room(push, target);
            problem.detail = problem.detail != NULL ? problem.detail : refusal;
        }
        json_out_text(out, "\"status\":\"failed\",\"error\":");
        problem_write(out, &problem);
    }
    json_out_text(out, "}");
}

void push_results_write(struct json_out *out, const struct gateway_push *push, const char *refusal)
{
    json_out_text(out, "{\"results\":[");
    for (size_t i = 0; i < push->n_targets; i++) {
        const struct gateway_target *target = &push->targets[i];
        if (i > 0)
            json_out_text(out, ",");
        if (target->error == ERR_OK && json_text_is_plain(target->user_id))
            write_kept(out, push, target);
        else
            write_any(out, push, target, refusal);
    }
    json_out_text(out, "]}");
}
