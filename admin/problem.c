#include "admin/problem.h"

#include <inttypes.h>

unsigned problem_status(enum err error)
{
    unsigned status = error_http_status(error);
    return status >= 400 ? status : 500;
}

static void write_member(struct json_out *out, const char *name, const char *text)
{
    if (text == NULL || text[0] == '\0')
        return;
    json_out_printf(out, ",\"%s\":", name);
    json_out_string(out, span_of(text));
}

void problem_write(struct json_out *out, const struct problem *problem)
{
    /* An error without an HTTP status has no type either: reaching this is a fault of Herald. */
    enum err error = error_http_status(problem->error) >= 400 ? problem->error : ERR_SYSTEM;
    json_out_printf(out, "{\"type\":\"%s\",\"title\":\"%s\",\"status\":%u",
                    error_problem_type(error), error_title(error), problem_status(error));
    write_member(out, "detail", problem->detail);
    write_member(out, "field", problem->field);
    if (problem->offset != NULL)
        json_out_printf(out, ",\"offset\":%zu", *problem->offset);
    if (problem->line > 0)
        json_out_printf(out, ",\"line\":%" PRIu32, problem->line);
    write_member(out, "requestId", problem->request_id);
    json_out_text(out, "}");
}

struct problem problem_from_json(const struct json_problem *from)
{
    return (struct problem){.error = from->error,
                            .detail = from->detail,
                            .field = from->field,
                            .offset = from->error == ERR_BAD_JSON ? &from->offset : NULL};
}
