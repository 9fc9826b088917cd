/* The bodies of POST /push and POST /broadcast, and one line of an NDJSON push. json/json_members
 * first scans the body, so it is valid JSON when its members are checked here one by one: which are
 * missing, out of range, or exclude each other. The texts of the keys and of the userIds stay where
 * they were received, as `data` does. Those with escapes are decoded into one block of memory,
 * which also holds a list of users; push_request_fini frees it. */
#include "proto/note/push_json.h"

#include "proto/bytes/decimal.h"
#include "proto/bytes/user_id.h"
#include "proto/bytes/utf8.h"
#include "proto/json/json_members.h"
#include "proto/json/json_scan.h"
#include "proto/note/connection_id.h"
#include "proto/note/notification.h"

#include <inttypes.h>
#include <stdlib.h>

static const size_t max_fanout_bytes = (size_t)64 << 20; /* userIds x data, which a push copies */

enum {
    PUSH_USER_ID,
    PUSH_USER_IDS,
    PUSH_DATA,
    PUSH_TTL,
    PUSH_COLLAPSE_KEY,
    PUSH_IDEMPOTENCY_KEY,
    PUSH_WAIT,
    PUSH_ALERT_AFTER,
    PUSH_CONNECTION
};
static const char *const push_names[] = {
    "userId",         "userIds", "data",       "ttl",        "collapseKey",
    "idempotencyKey", "wait",    "alertAfter", "connection", NULL};

/* In the block the list of users comes first, then the texts of the keys, then those of the
 * userIds.
 */
enum { KEY_MAX_BYTES = 64, KEYS_BYTES = 2 * KEY_MAX_BYTES };
_Static_assert((int)COLLAPSE_KEY_MAX_BYTES == KEY_MAX_BYTES &&
                   (int)IDEMPOTENCY_KEY_MAX_BYTES == KEY_MAX_BYTES,
               "the keys have one length");

/* ---- the users ---- */

/* Reads one userId: it stays a slice of the body, or is decoded at *room, which is advanced. */
static enum err take_user(struct span body, struct span raw, char **room, struct span *ret_user,
                          struct json_problem *problem)
{
    const char *detail;
    if (!json_is_string(raw))
        return json_refuse(problem, ERR_INVALID_FIELD, "userId", "userId must be a string");
    struct span user = json_without_quotes(raw);
    if (json_has_escapes(user)) {
        size_t len;
        enum err error = json_decode(body, raw, *room, user.len, &len, problem);
        if (error != ERR_OK)
            return error;
        user = (struct span){*room, len};
        *room += len;
    }
    if (user_id_check(user, &detail) != ERR_OK)
        return json_refuse(problem, ERR_INVALID_FIELD, "userId", "%s", detail);
    *ret_user = user;
    return ERR_OK;
}

/* Iterates over the elements of a list that was scanned before. `raw` empty: the end. */
struct elements {
    struct json_scan scan;
    bool is_at_end;
};

static void elements_begin(struct elements *elements, struct span list)
{
    json_scan_init(&elements->scan, list);
    bool is_open = json_scan_open(&elements->scan, &elements->is_at_end);
    elements->is_at_end = elements->is_at_end || !is_open;
}

static struct span elements_next(struct elements *elements)
{
    struct span raw = {0};
    if (elements->is_at_end || !json_scan_value(&elements->scan, &raw) ||
        !json_scan_next(&elements->scan, &elements->is_at_end))
        elements->is_at_end = true;
    return raw;
}

/* For a list of `n` users (0: there is none), the keys, and the texts of userIds. */
static enum err allocate_room(struct push_request *request, size_t n, size_t text_bytes,
                              struct json_problem *problem)
{
    request->memory = malloc(n * sizeof(struct span) + KEYS_BYTES + text_bytes);
    if (request->memory == NULL)
        return json_refuse(problem, ERR_NO_MEMORY, "", "out of memory");
    request->users = (struct span *)(void *)request->memory;
    request->n_users = n;
    return ERR_OK;
}

static char *room_of_keys(const struct push_request *request)
{
    return request->memory + (request->is_list ? request->n_users * sizeof(struct span) : 0);
}

/* A userId that is listed twice gets two notifications: results are matched to userIds by position,
 * which removing repeats would break. */
static enum err take_list(struct span body, struct span list, struct push_request *request,
                          struct json_problem *problem)
{
    struct elements elements;
    size_t n = 0;
    size_t text_bytes = 0;
    if (list.bytes[0] != '[')
        return json_refuse(problem, ERR_INVALID_FIELD, "userIds", "userIds must be a list");
    elements_begin(&elements, list);
    for (struct span raw; (raw = elements_next(&elements)).bytes != NULL; n++)
        text_bytes += json_has_escapes(raw) ? raw.len : 0;
    if (n == 0 || n > PUSH_MAX_USERS)
        return json_refuse(problem, ERR_INVALID_FIELD, "userIds",
                           "userIds must hold 1 to %d userIds", PUSH_MAX_USERS);
    enum err error = allocate_room(request, n, text_bytes, problem);
    if (error != ERR_OK)
        return error;

    char *room = room_of_keys(request) + KEYS_BYTES;
    elements_begin(&elements, list);
    for (size_t i = 0; i < n; i++) {
        error = take_user(body, elements_next(&elements), &room, &request->users[i], problem);
        if (error == ERR_INVALID_FIELD) {
            struct json_problem inner = *problem;
            return json_refuse(problem, ERR_INVALID_FIELD, "userIds", "userIds[%zu]: %.80s", i,
                               inner.detail);
        }
        if (error != ERR_OK)
            return error;
    }
    return ERR_OK;
}

static bool needs_room(struct span raw)
{
    return raw.bytes != NULL && json_has_escapes(raw);
}

static enum err take_single_user(struct span body, const struct json_members *members,
                                 struct push_request *request, struct json_problem *problem)
{
    struct span raw = members->raw[PUSH_USER_ID];
    char *room = NULL;
    if (needs_room(raw) || needs_room(members->raw[PUSH_COLLAPSE_KEY]) ||
        needs_room(members->raw[PUSH_IDEMPOTENCY_KEY])) {
        enum err error = allocate_room(request, 0, raw.len, problem);
        if (error != ERR_OK)
            return error;
        room = room_of_keys(request) + KEYS_BYTES;
    }
    request->n_users = 1;
    return take_user(body, raw, &room, &request->user, problem);
}

static enum err take_users(struct span body, const struct json_members *members,
                           struct push_request *request, struct json_problem *problem)
{
    struct span one = members->raw[PUSH_USER_ID];
    struct span list = members->raw[PUSH_USER_IDS];
    if (one.bytes == NULL && list.bytes == NULL)
        return json_refuse(problem, ERR_INVALID_FIELD, "userId", "userId or userIds is missing");
    if (one.bytes != NULL && list.bytes != NULL)
        return json_refuse(problem, ERR_INVALID_FIELD, "userIds",
                           "give userId or userIds, not both");
    request->is_list = list.bytes != NULL;
    return request->is_list ? take_list(body, list, request, problem)
                            : take_single_user(body, members, request, problem);
}

/* ---- the data, the ttl, the keys and the wait ---- */

/* Accepts digits only: -0, 1.0 and 1e2 are JSON numbers, but not plain whole ones. */
static enum err take_ttl(struct span raw, uint32_t default_ttl_s, uint32_t *ret_ttl_s,
                         struct json_problem *problem)
{
    uint64_t ttl;
    *ret_ttl_s = default_ttl_s;
    if (raw.bytes == NULL)
        return ERR_OK;
    if (!decimal_read(raw, PUSH_MAX_TTL_S, &ttl))
        return json_refuse(problem, ERR_INVALID_FIELD, "ttl",
                           "ttl must be a whole number of seconds, 0..%d", PUSH_MAX_TTL_S);
    *ret_ttl_s = (uint32_t)ttl;
    return ERR_OK;
}

static enum err take_data(struct span raw, size_t max_bytes, struct span *ret_data,
                          struct json_problem *problem)
{
    if (raw.bytes == NULL)
        return json_refuse(problem, ERR_INVALID_FIELD, "data", "data is missing");
    if (raw.len > max_bytes)
        return json_refuse(problem, ERR_TOO_LARGE, "data",
                           "data has %zu bytes, at most %zu are taken", raw.len, max_bytes);
    *ret_data = raw;
    return ERR_OK;
}

/* Checks a collapse or idempotency key. Its length is checked first, because of a key that is too
 * long not all bytes were decoded. */
static enum err check_key(struct span key, const char *field, struct json_problem *problem)
{
    if (key.len < 1 || key.len > KEY_MAX_BYTES || json_has_control(key.bytes, key.len))
        return json_refuse(problem, ERR_INVALID_FIELD, field,
                           "%s must be 1 to %d bytes without control characters", field,
                           KEY_MAX_BYTES);
    return ERR_OK;
}

static enum err take_key(struct span body, struct span raw, const char *field, char *room,
                         struct span *ret_key, struct json_problem *problem)
{
    if (raw.bytes == NULL)
        return ERR_OK;
    if (!json_is_string(raw))
        return json_refuse(problem, ERR_INVALID_FIELD, field, "%s must be a string", field);
    struct span key = json_without_quotes(raw);
    if (json_has_escapes(key)) {
        enum err error = json_decode(body, raw, room, KEY_MAX_BYTES, &key.len, problem);
        if (error != ERR_OK)
            return error;
        key.bytes = room;
    }
    enum err error = check_key(key, field, problem);
    if (error == ERR_OK)
        *ret_key = key;
    return error;
}

static enum err take_keys(struct span body, const struct json_members *members,
                          struct push_request *request, struct json_problem *problem)
{
    char *room = request->memory == NULL ? NULL : room_of_keys(request);
    enum err error = take_key(body, members->raw[PUSH_COLLAPSE_KEY], "collapseKey", room,
                              &request->collapse_key, problem);
    if (error != ERR_OK)
        return error;
    return take_key(body, members->raw[PUSH_IDEMPOTENCY_KEY], "idempotencyKey",
                    room == NULL ? NULL : room + KEY_MAX_BYTES, &request->idempotency_key, problem);
}

/* Reads seconds from any JSON number, also one with a fraction or an exponent. */
static enum err take_wait(struct span raw, uint32_t *ret_wait_ms, struct json_problem *problem)
{
    char text[64];
    char *end = text;
    double seconds = -1;
    if (raw.bytes == NULL)
        return ERR_OK;
    if (raw.len < sizeof text) {
        memcpy(text, raw.bytes, raw.len);
        text[raw.len] = '\0';
        seconds = strtod(text, &end);
    }
    if (end == text || *end != '\0' || !(seconds >= 0 && seconds <= PUSH_MAX_WAIT_S))
        return json_refuse(problem, ERR_INVALID_FIELD, "wait",
                           "wait must be a number of seconds, 0..%d", PUSH_MAX_WAIT_S);
    *ret_wait_ms = (uint32_t)(seconds * 1000 + 0.5);
    return ERR_OK;
}

/* The ttl is known. One that is not less than it would be due when the notification has expired. */
static enum err take_alert_after(struct span raw, const struct push_limits *limits,
                                 struct push_request *request, struct json_problem *problem)
{
    static const char field[] = "alertAfter";
    uint64_t after;
    if (!decimal_read(raw, PUSH_MAX_ALERT_S, &after) || after == 0)
        return json_refuse(problem, ERR_INVALID_FIELD, field,
                           "alertAfter must be a whole number of seconds, 1..%d", PUSH_MAX_ALERT_S);
    if (!limits->keeps_alerts)
        return json_refuse(problem, ERR_INVALID_FIELD, field,
                           "alertAfter needs notification.unacknowledged in --events");
    if (request->ttl_s > 0 && after >= request->ttl_s)
        return json_refuse(problem, ERR_INVALID_FIELD, field,
                           "alertAfter must be less than ttl, which is %" PRIu32, request->ttl_s);
    request->alert_after_s = (uint32_t)after;
    return ERR_OK;
}

enum { CONNECTION_TEXT_MAX_BYTES = 64 };

/* A text that is no connection's name is not an error: the connection is not there. */
static enum err take_connection(struct span body, struct span raw, struct push_request *request,
                                struct json_problem *problem)
{
    char text[CONNECTION_TEXT_MAX_BYTES];
    size_t len;
    if (raw.bytes == NULL)
        return ERR_OK;
    if (request->is_list)
        return json_refuse(problem, ERR_INVALID_FIELD, "connection",
                           "connection is for one userId alone");
    if (request->ttl_s > 0)
        return json_refuse(problem, ERR_INVALID_FIELD, "connection", "connection needs ttl 0");
    if (!json_is_string(raw))
        return json_refuse(problem, ERR_INVALID_FIELD, "connection", "connection must be a string");
    enum err error = json_decode(body, raw, text, sizeof text, &len, problem);
    if (error != ERR_OK)
        return error;
    if (len < 1 || len > sizeof text)
        return json_refuse(problem, ERR_INVALID_FIELD, "connection",
                           "connection must be 1 to %d bytes", CONNECTION_TEXT_MAX_BYTES);
    request->is_to_connection = true;
    if (!connection_id_parse((struct span){text, len}, &request->connection))
        request->connection = 0;
    return ERR_OK;
}

/* With ttl 0 nothing is stored, so there is nothing to replace, to remember or to wait for. */
static enum err refuse_with_ttl_0(const struct json_members *members, struct json_problem *problem)
{
    static const int fields[] = {PUSH_COLLAPSE_KEY, PUSH_IDEMPOTENCY_KEY, PUSH_WAIT,
                                 PUSH_ALERT_AFTER};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        if (members->raw[fields[i]].bytes != NULL)
            return json_refuse(problem, ERR_INVALID_FIELD, push_names[fields[i]],
                               "%s needs a ttl above 0", push_names[fields[i]]);
    return ERR_OK;
}

static enum err refuse_in_line(const struct json_members *members, struct json_problem *problem)
{
    if (members->raw[PUSH_WAIT].bytes != NULL)
        return json_refuse(problem, ERR_INVALID_FIELD, "wait", "a line does not wait");
    return ERR_OK;
}

static enum err take_content(struct span body, const struct json_members *members,
                             const struct push_limits *limits, struct push_request *request,
                             struct json_problem *problem)
{
    enum err error =
        take_data(members->raw[PUSH_DATA], limits->max_data_bytes, &request->data, problem);
    if (error != ERR_OK)
        return error;
    if (request->data.len > max_fanout_bytes / request->n_users)
        return json_refuse(problem, ERR_TOO_LARGE, "data", "userIds x data is at most 64 MiB");
    error = take_ttl(members->raw[PUSH_TTL], limits->default_ttl_s, &request->ttl_s, problem);
    if (error != ERR_OK)
        return error;
    error = take_keys(body, members, request, problem);
    if (error != ERR_OK)
        return error;
    error = take_wait(members->raw[PUSH_WAIT], &request->wait_ms, problem);
    if (error != ERR_OK)
        return error;
    if (request->is_list && members->raw[PUSH_WAIT].bytes != NULL)
        return json_refuse(problem, ERR_INVALID_FIELD, "wait", "wait is for one userId alone");
    error = take_connection(body, members->raw[PUSH_CONNECTION], request, problem);
    if (error == ERR_OK && members->raw[PUSH_ALERT_AFTER].bytes != NULL)
        error = take_alert_after(members->raw[PUSH_ALERT_AFTER], limits, request, problem);
    if (error != ERR_OK)
        return error;
    return request->ttl_s > 0 ? ERR_OK : refuse_with_ttl_0(members, problem);
}

/* ---- the whole request ---- */

static enum err take_push(struct span body, const struct push_limits *limits, bool is_line,
                          struct push_request *request, struct json_problem *problem)
{
    struct json_members members = {.names = push_names};
    enum err error = json_members_scan(body, &members, problem);
    if (error == ERR_OK && is_line)
        error = refuse_in_line(&members, problem);
    if (error == ERR_OK)
        error = take_users(body, &members, request, problem);
    if (error == ERR_OK)
        error = take_content(body, &members, limits, request, problem);
    return error;
}

static enum err parse_push(struct span body, const struct push_limits *limits, bool is_line,
                           struct push_request *ret_request, struct json_problem *ret_problem)
{
    *ret_request = (struct push_request){0};
    enum err error = take_push(body, limits, is_line, ret_request, ret_problem);
    if (error != ERR_OK)
        push_request_fini(ret_request);
    return error;
}

enum err push_request_parse(struct span body, const struct push_limits *limits,
                            struct push_request *ret_request, struct json_problem *ret_problem)
{
    return parse_push(body, limits, false, ret_request, ret_problem);
}

enum err push_line_parse(struct span line, const struct push_limits *limits,
                         struct push_request *ret_request, struct json_problem *ret_problem)
{
    return parse_push(line, limits, true, ret_request, ret_problem);
}

enum err push_request_set_key(struct push_request *request, struct span key,
                              struct json_problem *ret_problem)
{
    static const char field[] = "idempotencyKey";
    if (!utf8_is_valid(key))
        return json_refuse(ret_problem, ERR_INVALID_FIELD, field, "Idempotency-Key must be UTF-8");
    enum err error = check_key(key, field, ret_problem);
    if (error != ERR_OK)
        return error;
    if (request->idempotency_key.len > 0 && !span_equal(request->idempotency_key, key))
        return json_refuse(ret_problem, ERR_INVALID_FIELD, field,
                           "idempotencyKey and Idempotency-Key differ");
    if (request->ttl_s == 0)
        return json_refuse(ret_problem, ERR_INVALID_FIELD, field,
                           "idempotencyKey needs a ttl above 0");
    request->idempotency_key = key;
    return ERR_OK;
}

void push_request_fini(struct push_request *request)
{
    free(request->memory);
    *request = (struct push_request){0};
}

enum err users_request_parse(struct span body, struct push_request *ret_request,
                             struct json_problem *ret_problem)
{
    static const char *const names[] = {"userIds", NULL};
    struct json_members members = {.names = names};
    struct push_request request = {.is_list = true};
    *ret_request = (struct push_request){0};
    enum err error = json_members_scan(body, &members, ret_problem);
    if (error != ERR_OK)
        return error;
    if (members.raw[0].bytes == NULL)
        return json_refuse(ret_problem, ERR_INVALID_FIELD, "userIds", "userIds is missing");
    error = take_list(body, members.raw[0], &request, ret_problem);
    if (error != ERR_OK)
        push_request_fini(&request);
    *ret_request = request;
    return error;
}

enum err broadcast_request_parse(struct span body, const struct push_limits *limits,
                                 struct span *ret_data, struct json_problem *ret_problem)
{
    static const char *const names[] = {"data", NULL};
    struct json_members members = {.names = names};
    enum err error = json_members_scan(body, &members, ret_problem);
    if (error != ERR_OK)
        return error;
    return take_data(members.raw[0], limits->max_data_bytes, ret_data, ret_problem);
}
