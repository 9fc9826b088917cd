#include "admin/routes/push_results.h"

#include "admin/problem.h"
#include "gateway/requests/push_result.h"

void push_results_write_one(struct json_out *out, const struct gateway_push *push,
                            const struct gateway_target *target)
{
    char text[PUSH_RESULT_MAX_BYTES];
    char *end = push_result_put(text, push, target);
    json_out_raw(out, (struct span){text, (size_t)(end - text)});
}

void push_results_write(struct json_out *out, const struct gateway_push *push, const char *refusal)
{
    json_out_text(out, "{\"results\":[");
    for (size_t i = 0; i < push->n_targets; i++) {
        const struct gateway_target *target = &push->targets[i];
        json_out_text(out, i == 0 ? "{\"userId\":" : ",{\"userId\":");
        json_out_string(out, target->user_id);
        json_out_text(out, ",");
        if (target->error == ERR_OK) {
            push_results_write_one(out, push, target);
        } else {
            struct problem problem = {.error = target->error};
            if (target->error == ERR_STORE_UNAVAILABLE)
                problem.detail = refusal;
            json_out_text(out, "\"status\":\"failed\",\"error\":");
            problem_write(out, &problem);
        }
        json_out_text(out, "}");
    }
    json_out_text(out, "]}");
}
