#include "proto/note/drain_json.h"

#include "proto/bytes/decimal.h"
#include "proto/json/json_members.h"

enum { DRAIN_CONNECTIONS, DRAIN_RATE, DRAIN_CANCEL };
static const char *const drain_names[] = {"connections", "rate", "cancel", NULL};

static enum err take_number(struct span raw, const char *name, uint32_t max, uint32_t *ret_number,
                            struct json_problem *problem)
{
    uint64_t number = 0;
    if (raw.bytes != NULL && (!decimal_read(raw, max, &number) || number == 0))
        return json_refuse(problem, ERR_INVALID_FIELD, name, "%s must be a whole number, 1..%u",
                           name, max);
    *ret_number = (uint32_t)number;
    return ERR_OK;
}

static enum err take_cancel(struct span raw, struct drain_request *request,
                            struct json_problem *problem)
{
    request->is_cancel = span_equal(raw, SPAN_LITERAL("true"));
    if (raw.bytes != NULL && !request->is_cancel && !span_equal(raw, SPAN_LITERAL("false")))
        return json_refuse(problem, ERR_INVALID_FIELD, "cancel", "cancel must be true or false");
    if (request->is_cancel && request->connections > 0)
        return json_refuse(problem, ERR_INVALID_FIELD, "connections",
                           "connections cannot stand beside cancel");
    if (request->is_cancel && request->rate > 0)
        return json_refuse(problem, ERR_INVALID_FIELD, "rate", "rate cannot stand beside cancel");
    return ERR_OK;
}

static enum err take_drain(struct span body, struct drain_request *request,
                           struct json_problem *problem)
{
    struct json_members members = {.names = drain_names};
    enum err error = json_members_scan(body, &members, problem);
    if (error != ERR_OK)
        return error;
    error = take_number(members.raw[DRAIN_CONNECTIONS], "connections", DRAIN_MAX_CONNECTIONS,
                        &request->connections, problem);
    if (error != ERR_OK)
        return error;
    error = take_number(members.raw[DRAIN_RATE], "rate", DRAIN_MAX_RATE, &request->rate, problem);
    if (error != ERR_OK)
        return error;
    return take_cancel(members.raw[DRAIN_CANCEL], request, problem);
}

enum err drain_request_parse(struct span body, struct drain_request *ret_request,
                             struct json_problem *ret_problem)
{
    struct drain_request request = {0};
    enum err error = body.len == 0 ? ERR_OK : take_drain(body, &request, ret_problem);
    *ret_request = error == ERR_OK ? request : (struct drain_request){0};
    return error;
}
