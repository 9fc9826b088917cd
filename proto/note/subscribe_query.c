/* Each request of a subscriber has its parser, which takes the parameters that it knows from the
 * query one by one. A value is decoded into a room of its own; one that is too long for any valid
 * value is as wrong as one that cannot be decoded. */
#include "proto/note/subscribe_query.h"

#include "proto/bytes/plain_name.h"
#include "proto/bytes/utf8.h"

bool device_is_valid(struct span device)
{
    return plain_name_is_valid(device, DEVICE_MAX_BYTES);
}

/* The parameters besides userId, with the error sentences of each. */
struct parameter {
    const char *name;
    const char *is_twice;
    const char *is_wrong;
};

static const struct parameter after_parameter = {"after", "after is given twice",
                                                 "after must be EPOCH-SEQ"};
static const struct parameter last_event_id_parameter = {
    "lastEventId", "lastEventId is given twice", "lastEventId must be EPOCH-SEQ"};
static const struct parameter id_parameter = {"id", "id is given twice", "id must be EPOCH-SEQ"};
static const struct parameter client_id_parameter = {
    "id", "id is given twice", "id must be 1 to 64 bytes of UTF-8, percent-encoded"};
static const struct parameter device_parameter = {"device", "device is given twice",
                                                  "device must be 1 to 64 of A-Za-z0-9._-"};
static const struct parameter ack_parameter = {"ack", "ack is given twice",
                                               "ack must be \"explicit\""};

enum { VALUE_MAX_BYTES = DEVICE_MAX_BYTES }; /* no valid value is longer */
_Static_assert((int)VALUE_MAX_BYTES >= (int)CLIENT_ID_MAX_BYTES, "nor is a client's id");

static enum err refuse_parameter(const char *field, const char *detail, const char **ret_field,
                                 const char **ret_detail)
{
    *ret_field = field;
    *ret_detail = detail;
    return ERR_INVALID_FIELD;
}

/* ERR_NOT_FOUND: absent. */
static enum err take_value(struct span query, const struct parameter *parameter,
                           char room[VALUE_MAX_BYTES], struct span *ret_value,
                           const char **ret_field, const char **ret_detail)
{
    struct span raw;
    size_t len;
    enum err error = query_find(query, parameter->name, &raw);
    if (error == ERR_NOT_FOUND)
        return ERR_NOT_FOUND;
    if (error != ERR_OK)
        return refuse_parameter(parameter->name, parameter->is_twice, ret_field, ret_detail);
    if (percent_decode(raw, true, room, VALUE_MAX_BYTES, &len) != ERR_OK)
        return refuse_parameter(parameter->name, parameter->is_wrong, ret_field, ret_detail);
    *ret_value = (struct span){room, len};
    return ERR_OK;
}

static enum err take_user(struct span query, char user_id[USER_ID_MAX_BYTES], size_t *ret_len,
                          const char **ret_field, const char **ret_detail)
{
    struct span raw;
    *ret_len = 0;
    if (query_find(query, "userId", &raw) == ERR_NOT_FOUND)
        return ERR_OK;
    enum err error = query_user_id(query, user_id, ret_len, ret_detail);
    if (error != ERR_OK)
        *ret_field = "userId";
    return error;
}

static enum err take_after(struct span query, struct subscribe_query *out, const char **ret_field,
                           const char **ret_detail)
{
    char room[VALUE_MAX_BYTES];
    struct span value;
    enum err error = take_value(query, &after_parameter, room, &value, ret_field, ret_detail);
    if (error != ERR_OK)
        return error == ERR_NOT_FOUND ? ERR_OK : error;
    if (message_position_parse(value, &out->after_epoch, &out->after_seq) != ERR_OK)
        return refuse_parameter(after_parameter.name, after_parameter.is_wrong, ret_field,
                                ret_detail);
    out->has_after = true;
    return ERR_OK;
}

static enum err take_device(struct span query, char device[DEVICE_MAX_BYTES], size_t *ret_len,
                            const char **ret_field, const char **ret_detail)
{
    struct span value;
    enum err error = take_value(query, &device_parameter, device, &value, ret_field, ret_detail);
    if (error != ERR_OK)
        return error == ERR_NOT_FOUND ? ERR_OK : error;
    if (!device_is_valid(value))
        return refuse_parameter(device_parameter.name, device_parameter.is_wrong, ret_field,
                                ret_detail);
    *ret_len = value.len;
    return ERR_OK;
}

static enum err take_ack(struct span query, bool *ret_is_explicit, const char **ret_field,
                         const char **ret_detail)
{
    char room[VALUE_MAX_BYTES];
    struct span value;
    enum err error = take_value(query, &ack_parameter, room, &value, ret_field, ret_detail);
    if (error != ERR_OK)
        return error == ERR_NOT_FOUND ? ERR_OK : error;
    if (!span_equal(value, SPAN_LITERAL("explicit")))
        return refuse_parameter(ack_parameter.name, ack_parameter.is_wrong, ret_field, ret_detail);
    *ret_is_explicit = true;
    return ERR_OK;
}

/* Here only the number of credentials is checked: credentials.h reads a token, tickets a ticket. */
static enum err refuse_two_credentials(struct span query, const char **ret_field,
                                       const char **ret_detail)
{
    struct span raw;
    enum err token = query_find(query, "token", &raw);
    if (token != ERR_OK && token != ERR_NOT_FOUND)
        return refuse_parameter("token", "token is given twice", ret_field, ret_detail);
    enum err ticket = query_find(query, "ticket", &raw);
    if (ticket != ERR_OK && ticket != ERR_NOT_FOUND)
        return refuse_parameter("ticket", "ticket is given twice", ret_field, ret_detail);
    return ERR_OK;
}

enum err subscribe_query_parse(struct span query, struct subscribe_query *ret_query,
                               const char **ret_field, const char **ret_detail)
{
    struct subscribe_query *out = ret_query;
    *out = (struct subscribe_query){0};
    enum err error = take_user(query, out->user_id, &out->user_id_len, ret_field, ret_detail);
    if (error == ERR_OK)
        error = take_after(query, out, ret_field, ret_detail);
    if (error == ERR_OK)
        error = take_device(query, out->device, &out->device_len, ret_field, ret_detail);
    if (error == ERR_OK)
        error = take_ack(query, &out->is_ack_explicit, ret_field, ret_detail);
    if (error == ERR_OK)
        error = refuse_two_credentials(query, ret_field, ret_detail);
    return error;
}

enum err last_event_id_parse(struct span query, struct epoch *ret_epoch, uint64_t *ret_seq,
                             const char **ret_field, const char **ret_detail)
{
    char room[VALUE_MAX_BYTES];
    struct span value;
    const struct parameter *parameter = &last_event_id_parameter;
    enum err error = take_value(query, parameter, room, &value, ret_field, ret_detail);
    if (error != ERR_OK)
        return error;
    if (value.len == 0)
        return ERR_NOT_FOUND;
    if (message_position_parse(value, ret_epoch, ret_seq) != ERR_OK)
        return refuse_parameter(parameter->name, parameter->is_wrong, ret_field, ret_detail);
    return ERR_OK;
}

static enum err take_id(struct span query, struct ack_query *out, const char **ret_field,
                        const char **ret_detail)
{
    char room[VALUE_MAX_BYTES];
    struct span value;
    enum err error = take_value(query, &id_parameter, room, &value, ret_field, ret_detail);
    if (error == ERR_NOT_FOUND)
        return refuse_parameter(id_parameter.name, "id is missing", ret_field, ret_detail);
    if (error != ERR_OK)
        return error;
    if (message_id_parse(value, &out->epoch, &out->seq) != ERR_OK)
        return refuse_parameter(id_parameter.name, id_parameter.is_wrong, ret_field, ret_detail);
    return ERR_OK;
}

enum err ack_query_parse(struct span query, struct ack_query *ret_query, const char **ret_field,
                         const char **ret_detail)
{
    struct ack_query *out = ret_query;
    *out = (struct ack_query){0};
    enum err error = take_user(query, out->user_id, &out->user_id_len, ret_field, ret_detail);
    if (error == ERR_OK)
        error = take_id(query, out, ret_field, ret_detail);
    if (error == ERR_OK)
        error = take_device(query, out->device, &out->device_len, ret_field, ret_detail);
    return error;
}

static enum err take_client_id(struct span query, struct message_query *out, const char **ret_field,
                               const char **ret_detail)
{
    char room[VALUE_MAX_BYTES];
    struct span value;
    const struct parameter *parameter = &client_id_parameter;
    enum err error = take_value(query, parameter, room, &value, ret_field, ret_detail);
    if (error == ERR_NOT_FOUND)
        return refuse_parameter(parameter->name, "id is missing", ret_field, ret_detail);
    if (error != ERR_OK)
        return error;
    if (value.len < 1 || value.len > sizeof out->id || !utf8_is_valid(value))
        return refuse_parameter(parameter->name, parameter->is_wrong, ret_field, ret_detail);
    memcpy(out->id, value.bytes, value.len);
    out->id_len = value.len;
    return ERR_OK;
}

enum err message_query_parse(struct span query, struct message_query *ret_query,
                             const char **ret_field, const char **ret_detail)
{
    struct message_query *out = ret_query;
    *out = (struct message_query){0};
    enum err error = take_user(query, out->user_id, &out->user_id_len, ret_field, ret_detail);
    return error == ERR_OK ? take_client_id(query, out, ret_field, ret_detail) : error;
}
