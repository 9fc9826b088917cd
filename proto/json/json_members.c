#include "proto/json/json_members.h"

#include "proto/json/json_scan.h"
#include "proto/json/json_string.h"

#include <stdarg.h>
#include <stdio.h>

enum err json_refuse(struct json_problem *problem, enum err error, const char *field,
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

static enum err refuse_json(struct json_problem *problem, size_t offset, const char *why)
{
    enum err error = json_refuse(problem, ERR_BAD_JSON, "", "%s (byte %zu)", why, offset);
    problem->offset = offset;
    return error;
}

static enum err refuse_scan(struct json_problem *problem, const struct json_scan *scan)
{
    return refuse_json(problem, (size_t)(scan->at - scan->begin), scan->why);
}

/* A name that is too long is cut between two UTF-8 characters. */
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

/* Without a call: a request has a few names, and most differ in their first bytes. */
static bool is_name(const char *known, struct span name)
{
    for (size_t i = 0; i < name.len; i++)
        if (known[i] == '\0' || known[i] != name.bytes[i])
            return false;
    return known[name.len] == '\0';
}

static int find_name(const struct json_members *members, struct span name)
{
    for (int i = 0; members->names[i] != NULL; i++)
        if (is_name(members->names[i], name))
            return i;
    return -1;
}

/* Names are compared after decoding, because a name may be written with escapes. *ret_index -1: an
 * unknown name; the first of them is reported in *unknown. */
static enum err scan_name(struct json_scan *scan, const struct json_members *members,
                          int *ret_index, struct json_problem *unknown,
                          struct json_problem *problem)
{
    const char *quote = scan->at;
    struct span raw;
    bool has_escapes;
    if (!json_scan_string(scan, &raw, &has_escapes))
        return refuse_scan(problem, scan);
    char decoded[sizeof problem->field + 4]; /* one character more than is shown */
    struct span name = raw;
    size_t at;
    if (has_escapes) {
        if (json_string_decode(raw, decoded, sizeof decoded, &name.len, &at) != ERR_OK)
            return refuse_json(problem, (size_t)(raw.bytes - scan->begin) + at, "a lone surrogate");
        name.bytes = decoded;
        if (name.len > sizeof decoded)
            name.len = sizeof decoded;
    }
    *ret_index = find_name(members, name);
    if (*ret_index >= 0 && members->raw[*ret_index].bytes != NULL)
        return refuse_json(problem, (size_t)(quote - scan->begin), "this key stands twice");
    if (*ret_index < 0 && unknown->error == ERR_OK) {
        json_refuse(unknown, ERR_UNKNOWN_FIELD, "", "this field is not known here");
        copy_field_name(unknown, name.bytes, name.len);
    }
    return ERR_OK;
}

static enum err scan_member(struct json_scan *scan, struct json_members *members,
                            struct json_problem *unknown, struct json_problem *problem)
{
    int index = -1;
    struct span raw;
    enum err error = scan_name(scan, members, &index, unknown, problem);
    if (error != ERR_OK)
        return error;
    json_scan_space(scan);
    if (!json_scan_byte(scan, ':', "':' must stand here"))
        return refuse_scan(problem, scan);
    json_scan_space(scan);
    if (!json_scan_value(scan, &raw))
        return refuse_scan(problem, scan);
    if (index >= 0)
        members->raw[index] = raw;
    return ERR_OK;
}

enum err json_members_scan(struct span body, struct json_members *members,
                           struct json_problem *problem)
{
    struct json_scan scan;
    struct json_problem unknown;
    bool is_closed;
    unknown.error = ERR_OK;
    json_scan_init(&scan, body);
    json_scan_space(&scan);
    if (json_scan_peek(&scan) != '{')
        return refuse_json(problem, (size_t)(scan.at - scan.begin),
                           "the body must be a JSON object");
    if (!json_scan_open(&scan, &is_closed))
        return refuse_scan(problem, &scan);
    while (!is_closed) {
        enum err error = scan_member(&scan, members, &unknown, problem);
        if (error != ERR_OK)
            return error;
        if (!json_scan_next(&scan, &is_closed))
            return refuse_scan(problem, &scan);
    }
    if (!json_scan_end(&scan))
        return refuse_scan(problem, &scan);
    if (unknown.error != ERR_OK)
        *problem = unknown;
    return unknown.error;
}

/* ---- slices that were scanned before ---- */

bool json_is_string(struct span raw)
{
    return raw.bytes != NULL && raw.bytes[0] == '"';
}

struct span json_without_quotes(struct span raw)
{
    return (struct span){raw.bytes + 1, raw.len - 2};
}

bool json_has_escapes(struct span raw)
{
    return memchr(raw.bytes, '\\', raw.len) != NULL;
}

enum err json_decode(struct span body, struct span raw, char *out, size_t cap, size_t *ret_len,
                     struct json_problem *problem)
{
    size_t at;
    struct span inner = json_without_quotes(raw);
    if (json_string_decode(inner, out, cap, ret_len, &at) != ERR_OK)
        return refuse_json(problem, (size_t)(inner.bytes - body.bytes) + at, "a lone surrogate");
    return ERR_OK;
}

bool json_has_control(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char byte = (unsigned char)text[i];
        unsigned char next = i + 1 < len ? (unsigned char)text[i + 1] : 0xff;
        if (byte < 0x20 || byte == 0x7f || (byte == 0xc2 && next < 0xa0))
            return true;
    }
    return false;
}
