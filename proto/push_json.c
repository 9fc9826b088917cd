/* Two steps. First the whole body is scanned as JSON, and the members of the request are noted as
 * slices of it: whatever is no JSON, or stands twice, is bad-json at its byte, before any field is
 * judged. Then the noted slices are checked one by one: what is unknown, missing or out of range.
 */
#include "proto/push_json.h"

#include "proto/json_scan.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_MEMBERS = 4 };

static const size_t max_fanout_bytes = (size_t)64 << 20; /* userIds x data: what a push copies */

struct members {
    const char *const *names;     /* ends with NULL; at most MAX_MEMBERS */
    struct span raw[MAX_MEMBERS]; /* no bytes: absent */
};

static enum err refuse(struct json_problem *problem, enum err error, const char *field,
                       const char *detail, ...) PRINTF_LIKE(4, 5);
static enum err refuse(struct json_problem *problem, enum err error, const char *field,
                       const char *detail, ...)
{
    va_list args;
    *problem = (struct json_problem){.error = error};
    snprintf(problem->field, sizeof problem->field, "%s", field);
    va_start(args, detail);
    vsnprintf(problem->detail, sizeof problem->detail, detail, args);
    va_end(args);
    return error;
}

static enum err bad_json(struct json_problem *problem, size_t offset, const char *why)
{
    enum err error = refuse(problem, ERR_BAD_JSON, "", "%s (byte %zu)", why, offset);
    problem->offset = offset;
    return error;
}

static enum err bad_scan(struct json_problem *problem, const struct json_scan *scan)
{
    return bad_json(problem, (size_t)(scan->at - scan->begin), scan->why);
}

/* Cut where a character ends. */
static void copy_field_name(struct json_problem *problem, const char *name, size_t len)
{
    size_t cap = sizeof problem->field - 1;
    if (len > cap) {
        len = cap;
        while (len > 0 && ((unsigned char)name[len] & 0xc0) == 0x80)
            len--;
    }
    memcpy(problem->field, name, len);
    problem->field[len] = '\0';
}

/* The members of the request itself */

static int find_name(const struct members *members, struct span name)
{
    for (int i = 0; members->names[i] != NULL; i++)
        if (span_equal(name, span_of(members->names[i])))
            return i;
    return -1;
}

/* A name may be written with escapes and is still the same name. *ret_index -1: not known, and
 * *unknown says so if it is the first. */
static enum err scan_name(struct json_scan *scan, const struct members *members, int *ret_index,
                          struct json_problem *unknown, struct json_problem *problem)
{
    const char *quote = scan->at;
    struct span raw;
    bool has_escapes;
    if (!json_scan_string(scan, &raw, &has_escapes))
        return bad_scan(problem, scan);
    char decoded[sizeof problem->field + 4]; /* a whole character more than is shown */
    struct span name = raw;
    size_t at;
    if (has_escapes) {
        if (json_string_decode(raw, decoded, sizeof decoded, &name.len, &at) != ERR_OK)
            return bad_json(problem, (size_t)(raw.bytes - scan->begin) + at, "a lone surrogate");
        name.bytes = decoded;
        if (name.len > sizeof decoded)
            name.len = sizeof decoded;
    }
    *ret_index = find_name(members, name);
    if (*ret_index >= 0 && members->raw[*ret_index].bytes != NULL)
        return bad_json(problem, (size_t)(quote - scan->begin), "this key stands twice");
    if (*ret_index < 0 && unknown->error == ERR_OK) {
        refuse(unknown, ERR_UNKNOWN_FIELD, "", "this field is not known here");
        copy_field_name(unknown, name.bytes, name.len);
    }
    return ERR_OK;
}

static enum err scan_member(struct json_scan *scan, struct members *members,
                            struct json_problem *unknown, struct json_problem *problem)
{
    int index = -1;
    struct span raw;
    enum err error = scan_name(scan, members, &index, unknown, problem);
    if (error != ERR_OK)
        return error;
    json_scan_space(scan);
    if (!json_scan_byte(scan, ':', "':' must stand here"))
        return bad_scan(problem, scan);
    json_scan_space(scan);
    if (!json_scan_value(scan, &raw))
        return bad_scan(problem, scan);
    if (index >= 0)
        members->raw[index] = raw;
    return ERR_OK;
}

static enum err scan_members(struct span body, struct members *members,
                             struct json_problem *problem)
{
    struct json_scan scan;
    struct json_problem unknown = {.error = ERR_OK};
    bool is_closed;
    json_scan_init(&scan, body);
    json_scan_space(&scan);
    if (json_scan_peek(&scan) != '{')
        return bad_json(problem, (size_t)(scan.at - scan.begin), "the body must be a JSON object");
    if (!json_scan_open(&scan, &is_closed))
        return bad_scan(problem, &scan);
    while (!is_closed) {
        enum err error = scan_member(&scan, members, &unknown, problem);
        if (error != ERR_OK)
            return error;
        if (!json_scan_next(&scan, &is_closed))
            return bad_scan(problem, &scan);
    }
    if (!json_scan_end(&scan))
        return bad_scan(problem, &scan);
    if (unknown.error != ERR_OK)
        *problem = unknown;
    return unknown.error;
}

/* Strings of the request itself. `raw` is a slice that was scanned before, quotes included. */

static bool is_string(struct span raw)
{
    return raw.bytes != NULL && raw.bytes[0] == '"';
}

static struct span without_quotes(struct span raw)
{
    return (struct span){raw.bytes + 1, raw.len - 2};
}

static bool has_escapes(struct span raw)
{
    return memchr(raw.bytes, '\\', raw.len) != NULL;
}

static enum err decode(struct span body, struct span raw, char *out, size_t cap, size_t *ret_len,
                       struct json_problem *problem)
{
    size_t at;
    struct span inner = without_quotes(raw);
    if (json_string_decode(inner, out, cap, ret_len, &at) != ERR_OK)
        return bad_json(problem, (size_t)(inner.bytes - body.bytes) + at, "a lone surrogate");
    return ERR_OK;
}

/* One userId: a slice of the body, or decoded at *room, which moves on. */
static enum err take_user(struct span body, struct span raw, char **room, struct span *ret_user,
                          struct json_problem *problem)
{
    const char *detail;
    if (!is_string(raw))
        return refuse(problem, ERR_INVALID_FIELD, "userId", "userId must be a string");
    struct span user = without_quotes(raw);
    if (has_escapes(user)) {
        size_t len;
        enum err error = decode(body, raw, *room, user.len, &len, problem);
        if (error != ERR_OK)
            return error;
        user = (struct span){*room, len};
        *room += len;
    }
    if (user_id_check(user, &detail) != ERR_OK)
        return refuse(problem, ERR_INVALID_FIELD, "userId", "%s", detail);
    *ret_user = user;
    return ERR_OK;
}

/* POST /push */

enum { PUSH_USER_ID, PUSH_USER_IDS, PUSH_DATA, PUSH_TTL };
static const char *const push_names[] = {"userId", "userIds", "data", "ttl", NULL};

/* Only digits: -0, 1.0 and 1e2 are numbers, but no plain whole ones. */
static enum err take_ttl(struct span raw, uint32_t default_ttl_s, uint32_t *ret_ttl_s,
                         struct json_problem *problem)
{
    uint32_t ttl = 0;
    *ret_ttl_s = default_ttl_s;
    if (raw.bytes == NULL)
        return ERR_OK;
    bool is_fine = raw.len <= 7;
    for (size_t i = 0; i < raw.len && is_fine; i++) {
        is_fine = raw.bytes[i] >= '0' && raw.bytes[i] <= '9';
        ttl = ttl * 10 + (uint32_t)(raw.bytes[i] - '0');
    }
    if (!is_fine || ttl > PUSH_MAX_TTL_S)
        return refuse(problem, ERR_INVALID_FIELD, "ttl",
                      "ttl must be a whole number of seconds, 0..%d", PUSH_MAX_TTL_S);
    *ret_ttl_s = ttl;
    return ERR_OK;
}

static enum err take_data(struct span raw, size_t max_bytes, struct span *ret_data,
                          struct json_problem *problem)
{
    if (raw.bytes == NULL)
        return refuse(problem, ERR_INVALID_FIELD, "data", "data is missing");
    if (raw.len > max_bytes)
        return refuse(problem, ERR_TOO_LARGE, "data", "data has %zu bytes, at most %zu are taken",
                      raw.len, max_bytes);
    *ret_data = raw;
    return ERR_OK;
}

/* Walks the elements of a list that was scanned before. `raw` empty: the end. */
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

static enum err allocate_users(struct push_request *request, size_t n, size_t text_bytes,
                               struct json_problem *problem)
{
    request->memory = malloc(n * sizeof(struct span) + text_bytes);
    if (request->memory == NULL)
        return refuse(problem, ERR_NO_MEMORY, "", "out of memory");
    request->users = (struct span *)(void *)request->memory;
    request->n_users = n;
    return ERR_OK;
}

/* A userId that stands twice gets two notifications: the answers go by position, and removing
 * repeats silently would break that. */
static enum err take_list(struct span body, struct span list, struct push_request *request,
                          struct json_problem *problem)
{
    struct elements elements;
    size_t n = 0;
    size_t text_bytes = 0;
    if (list.bytes[0] != '[')
        return refuse(problem, ERR_INVALID_FIELD, "userIds", "userIds must be a list");
    elements_begin(&elements, list);
    for (struct span raw; (raw = elements_next(&elements)).bytes != NULL; n++)
        text_bytes += has_escapes(raw) ? raw.len : 0;
    if (n == 0 || n > PUSH_MAX_USERS)
        return refuse(problem, ERR_INVALID_FIELD, "userIds", "userIds must hold 1 to %d userIds",
                      PUSH_MAX_USERS);
    enum err error = allocate_users(request, n, text_bytes, problem);
    if (error != ERR_OK)
        return error;

    char *room = request->memory + n * sizeof(struct span);
    elements_begin(&elements, list);
    for (size_t i = 0; i < n; i++) {
        error = take_user(body, elements_next(&elements), &room, &request->users[i], problem);
        if (error == ERR_INVALID_FIELD) {
            struct json_problem inner = *problem;
            return refuse(problem, ERR_INVALID_FIELD, "userIds", "userIds[%zu]: %.80s", i,
                          inner.detail);
        }
        if (error != ERR_OK)
            return error;
    }
    return ERR_OK;
}

static enum err take_one(struct span body, struct span raw, struct push_request *request,
                         struct json_problem *problem)
{
    enum err error = allocate_users(request, 1, has_escapes(raw) ? raw.len : 0, problem);
    if (error != ERR_OK)
        return error;
    char *room = request->memory + sizeof(struct span);
    return take_user(body, raw, &room, &request->users[0], problem);
}

static enum err take_users(struct span body, const struct members *members,
                           struct push_request *request, struct json_problem *problem)
{
    struct span one = members->raw[PUSH_USER_ID];
    struct span list = members->raw[PUSH_USER_IDS];
    if (one.bytes == NULL && list.bytes == NULL)
        return refuse(problem, ERR_INVALID_FIELD, "userId", "userId or userIds is missing");
    if (one.bytes != NULL && list.bytes != NULL)
        return refuse(problem, ERR_INVALID_FIELD, "userIds", "give userId or userIds, not both");
    request->is_list = list.bytes != NULL;
    return request->is_list ? take_list(body, list, request, problem)
                            : take_one(body, one, request, problem);
}

static enum err take_push(struct span body, const struct push_limits *limits,
                          struct push_request *request, struct json_problem *problem)
{
    struct members members = {.names = push_names};
    enum err error = scan_members(body, &members, problem);
    if (error != ERR_OK)
        return error;
    error = take_users(body, &members, request, problem);
    if (error != ERR_OK)
        return error;
    error = take_data(members.raw[PUSH_DATA], limits->max_data_bytes, &request->data, problem);
    if (error != ERR_OK)
        return error;
    if (request->data.len > max_fanout_bytes / request->n_users)
        return refuse(problem, ERR_TOO_LARGE, "data", "userIds x data is at most 64 MiB");
    return take_ttl(members.raw[PUSH_TTL], limits->default_ttl_s, &request->ttl_s, problem);
}

enum err push_request_parse(struct span body, const struct push_limits *limits,
                            struct push_request *ret_request, struct json_problem *ret_problem)
{
    struct push_request request = {0};
    *ret_request = request;
    enum err error = take_push(body, limits, &request, ret_problem);
    if (error != ERR_OK) {
        push_request_fini(&request);
        return error;
    }
    *ret_request = request;
    return ERR_OK;
}

void push_request_fini(struct push_request *request)
{
    free(request->memory);
    *request = (struct push_request){0};
}

/* POST /deleteClient */

enum { KICK_USER_ID, KICK_REASON, KICK_PURGE, KICK_BLOCK_FOR };
static const char *const kick_names[] = {"userId", "reason", "purge", "blockFor", NULL};

static enum err take_kick_user(struct span body, struct span raw, struct kick_request *request,
                               struct json_problem *problem)
{
    const char *detail;
    if (raw.bytes == NULL)
        return refuse(problem, ERR_INVALID_FIELD, "userId", "userId is missing");
    if (!is_string(raw))
        return refuse(problem, ERR_INVALID_FIELD, "userId", "userId must be a string");
    size_t len;
    enum err error = decode(body, raw, request->user_id, sizeof request->user_id, &len, problem);
    if (error != ERR_OK)
        return error;
    if (len > sizeof request->user_id)
        return refuse(problem, ERR_INVALID_FIELD, "userId", "userId must be 1 to %d bytes",
                      USER_ID_MAX_BYTES);
    if (user_id_check((struct span){request->user_id, len}, &detail) != ERR_OK)
        return refuse(problem, ERR_INVALID_FIELD, "userId", "%s", detail);
    request->user_id_len = len;
    return ERR_OK;
}

/* U+0000-U+001F and U+007F-U+009F, in text that is UTF-8. */
static bool has_control(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char byte = (unsigned char)text[i];
        unsigned char next = i + 1 < len ? (unsigned char)text[i + 1] : 0xff;
        if (byte < 0x20 || byte == 0x7f || (byte == 0xc2 && next < 0xa0))
            return true;
    }
    return false;
}

static enum err take_reason(struct span body, struct span raw, struct kick_request *request,
                            struct json_problem *problem)
{
    static const char why[] = "reason must be a string of at most %d bytes without control "
                              "characters";
    size_t len = 0;
    if (raw.bytes == NULL)
        return ERR_OK;
    if (!is_string(raw))
        return refuse(problem, ERR_INVALID_FIELD, "reason", why, PUSH_REASON_MAX_BYTES);
    enum err error = decode(body, raw, request->reason, sizeof request->reason, &len, problem);
    if (error != ERR_OK)
        return error;
    if (len > sizeof request->reason || has_control(request->reason, len))
        return refuse(problem, ERR_INVALID_FIELD, "reason", why, PUSH_REASON_MAX_BYTES);
    request->reason_len = len;
    return ERR_OK;
}

/* What this version cannot do must not be promised: only the value that asks for nothing is taken.
 */
static enum err take_nothing(struct span raw, struct span nothing, const char *field,
                             struct json_problem *problem)
{
    if (raw.bytes == NULL || span_equal(raw, nothing))
        return ERR_OK;
    return refuse(problem, ERR_INVALID_FIELD, field, "%s can only be %s in this version", field,
                  nothing.bytes);
}

static enum err take_kick(struct span body, struct kick_request *request,
                          struct json_problem *problem)
{
    struct members members = {.names = kick_names};
    enum err error = scan_members(body, &members, problem);
    if (error != ERR_OK)
        return error;
    error = take_kick_user(body, members.raw[KICK_USER_ID], request, problem);
    if (error != ERR_OK)
        return error;
    error = take_reason(body, members.raw[KICK_REASON], request, problem);
    if (error != ERR_OK)
        return error;
    error = take_nothing(members.raw[KICK_PURGE], SPAN_LITERAL("false"), "purge", problem);
    if (error != ERR_OK)
        return error;
    return take_nothing(members.raw[KICK_BLOCK_FOR], SPAN_LITERAL("0"), "blockFor", problem);
}

enum err kick_request_parse(struct span body, struct kick_request *ret_request,
                            struct json_problem *ret_problem)
{
    struct kick_request request = {0};
    enum err error = take_kick(body, &request, ret_problem);
    *ret_request = error == ERR_OK ? request : (struct kick_request){0};
    return error;
}

bool json_is_valid(struct span text, size_t *ret_offset)
{
    struct json_scan scan;
    struct span raw;
    json_scan_init(&scan, text);
    json_scan_space(&scan);
    if (json_scan_value(&scan, &raw) && json_scan_end(&scan))
        return true;
    *ret_offset = (size_t)(scan.at - scan.begin);
    return false;
}
