#include "proto/note/kick_json.h"

#include "proto/bytes/decimal.h"
#include "proto/json/json_members.h"

enum { KICK_USER_ID, KICK_REASON, KICK_PURGE, KICK_BLOCK_FOR };
static const char *const kick_names[] = {"userId", "reason", "purge", "blockFor", NULL};

static enum err take_kick_user(struct span body, struct span raw, struct kick_request *request,
                               struct json_problem *problem)
{
    const char *detail;
    if (raw.bytes == NULL)
        return json_refuse(problem, ERR_INVALID_FIELD, "userId", "userId is missing");
    if (!json_is_string(raw))
        return json_refuse(problem, ERR_INVALID_FIELD, "userId", "userId must be a string");
    size_t len;
    enum err error =
        json_decode(body, raw, request->user_id, sizeof request->user_id, &len, problem);
    if (error != ERR_OK)
        return error;
    if (len > sizeof request->user_id)
        return json_refuse(problem, ERR_INVALID_FIELD, "userId", "userId must be 1 to %d bytes",
                           USER_ID_MAX_BYTES);
    if (user_id_check((struct span){request->user_id, len}, &detail) != ERR_OK)
        return json_refuse(problem, ERR_INVALID_FIELD, "userId", "%s", detail);
    request->user_id_len = len;
    return ERR_OK;
}

static enum err take_reason(struct span body, struct span raw, struct kick_request *request,
                            struct json_problem *problem)
{
    static const char why[] = "reason must be a string of at most %d bytes without control "
                              "characters";
    size_t len = 0;
    if (raw.bytes == NULL)
        return ERR_OK;
    if (!json_is_string(raw))
        return json_refuse(problem, ERR_INVALID_FIELD, "reason", why, KICK_REASON_MAX_BYTES);
    enum err error = json_decode(body, raw, request->reason, sizeof request->reason, &len, problem);
    if (error != ERR_OK)
        return error;
    if (len > sizeof request->reason || json_has_control(request->reason, len))
        return json_refuse(problem, ERR_INVALID_FIELD, "reason", why, KICK_REASON_MAX_BYTES);
    request->reason_len = len;
    return ERR_OK;
}

static enum err take_block_for(struct span raw, struct kick_request *request,
                               struct json_problem *problem)
{
    uint64_t seconds = 0;
    if (raw.bytes != NULL && !decimal_read(raw, KICK_MAX_BLOCK_S, &seconds))
        return json_refuse(problem, ERR_INVALID_FIELD, "blockFor",
                           "blockFor must be a whole number of seconds, 0..%d", KICK_MAX_BLOCK_S);
    request->block_s = (uint32_t)seconds;
    return ERR_OK;
}

static enum err take_purge(struct span raw, struct kick_request *request,
                           struct json_problem *problem)
{
    request->is_purge = span_equal(raw, SPAN_LITERAL("true"));
    if (raw.bytes == NULL || request->is_purge || span_equal(raw, SPAN_LITERAL("false")))
        return ERR_OK;
    return json_refuse(problem, ERR_INVALID_FIELD, "purge", "purge must be true or false");
}

static enum err take_kick(struct span body, struct kick_request *request,
                          struct json_problem *problem)
{
    struct json_members members = {.names = kick_names};
    enum err error = json_members_scan(body, &members, problem);
    if (error != ERR_OK)
        return error;
    error = take_kick_user(body, members.raw[KICK_USER_ID], request, problem);
    if (error != ERR_OK)
        return error;
    error = take_reason(body, members.raw[KICK_REASON], request, problem);
    if (error != ERR_OK)
        return error;
    error = take_purge(members.raw[KICK_PURGE], request, problem);
    if (error != ERR_OK)
        return error;
    return take_block_for(members.raw[KICK_BLOCK_FOR], request, problem);
}

enum err kick_request_parse(struct span body, struct kick_request *ret_request,
                            struct json_problem *ret_problem)
{
    struct kick_request request = {0};
    enum err error = take_kick(body, &request, ret_problem);
    *ret_request = error == ERR_OK ? request : (struct kick_request){0};
    return error;
}

enum err ticket_request_parse(struct span body, char user_id[USER_ID_MAX_BYTES], size_t *ret_len,
                              struct json_problem *ret_problem)
{
    static const char *const names[] = {"userId", NULL};
    struct json_members members = {.names = names};
    struct kick_request request = {0};
    enum err error = json_members_scan(body, &members, ret_problem);
    if (error == ERR_OK)
        error = take_kick_user(body, members.raw[0], &request, ret_problem);
    if (error != ERR_OK)
        return error;
    memcpy(user_id, request.user_id, request.user_id_len);
    *ret_len = request.user_id_len;
    return ERR_OK;
}
