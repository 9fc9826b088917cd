#include "proto/json/json_object.h"

#include "proto/json/json_string.h"

enum { COMPARED_MAX_BYTES = 1024 };

/* The names that the object has had so far; those with escapes are decoded into `escaped`. */
struct seen {
    struct span names[JSON_OBJECT_MEMBERS_MAX];
    size_t n_names;
    char escaped[JSON_OBJECT_ESCAPED_MAX_BYTES];
    size_t escaped_len;
};

static bool fail_object(const char *why, const char **ret_why)
{
    *ret_why = why;
    return false;
}

static bool decode_name(struct seen *seen, struct span *name, const char **ret_why)
{
    size_t cap = sizeof seen->escaped - seen->escaped_len;
    char *out = seen->escaped + seen->escaped_len;
    size_t len, at;
    if (json_string_decode(*name, out, cap, &len, &at) != ERR_OK)
        return fail_object("a lone surrogate in the name of a member", ret_why);
    if (len > cap)
        return fail_object("too many names of members are written with escapes", ret_why);
    *name = (struct span){out, len};
    seen->escaped_len += len;
    return true;
}

/* The scan is at the name of a member. */
static bool scan_name(struct json_scan *scan, struct seen *seen, struct span *ret_name,
                      const char **ret_why)
{
    bool has_escapes;
    if (!json_scan_string(scan, ret_name, &has_escapes))
        return fail_object(scan->why, ret_why);
    if (has_escapes && !decode_name(seen, ret_name, ret_why))
        return false;
    for (size_t i = 0; i < seen->n_names; i++)
        if (span_equal(seen->names[i], *ret_name))
            return fail_object("a member stands twice", ret_why);
    if (seen->n_names == JSON_OBJECT_MEMBERS_MAX)
        return fail_object("an object has too many members", ret_why);
    seen->names[seen->n_names++] = *ret_name;
    return true;
}

static bool scan_member(struct json_scan *scan, struct seen *seen, struct span *ret_name,
                        struct span *ret_value, const char **ret_why)
{
    if (!scan_name(scan, seen, ret_name, ret_why))
        return false;
    json_scan_space(scan);
    bool is_good = json_scan_byte(scan, ':', "':' must stand here");
    if (is_good) {
        json_scan_space(scan);
        is_good = json_scan_value(scan, ret_value);
    }
    return is_good || fail_object(scan->why, ret_why);
}

static bool scan_object(struct json_scan *scan, const char *const *names, size_t n_names,
                        struct span *raw, const char **ret_why)
{
    struct seen seen;
    struct span name, value;
    bool is_closed;
    seen.n_names = 0;
    seen.escaped_len = 0;
    for (size_t i = 0; i < n_names; i++)
        raw[i] = (struct span){NULL, 0};
    json_scan_space(scan);
    if (json_scan_peek(scan) != '{')
        return fail_object("an object must stand here", ret_why);
    if (!json_scan_open(scan, &is_closed))
        return fail_object(scan->why, ret_why);
    while (!is_closed) {
        if (!scan_member(scan, &seen, &name, &value, ret_why))
            return false;
        for (size_t i = 0; i < n_names; i++)
            if (span_equal(name, span_of(names[i])))
                raw[i] = value;
        if (!json_scan_next(scan, &is_closed))
            return fail_object(scan->why, ret_why);
    }
    return json_scan_end(scan) || fail_object(scan->why, ret_why);
}

bool json_object_scan(struct span text, const char *const *names, size_t n_names, struct span *raw,
                      const char **ret_why)
{
    struct json_scan scan;
    json_scan_init(&scan, text.len > 0 ? text : SPAN_LITERAL(""));
    return scan_object(&scan, names, n_names, raw, ret_why);
}

bool json_object_scan_set(struct span text, const char *const *names, size_t n_names,
                          struct span *raw, const char **ret_why)
{
    struct json_scan scan;
    json_scan_init(&scan, text.len > 0 ? text : SPAN_LITERAL(""));
    scan.skips_deep = true;
    return scan_object(&scan, names, n_names, raw, ret_why);
}

bool json_object_string(struct span raw, char *out, size_t cap, size_t *ret_len)
{
    size_t at;
    if (raw.len < 2 || raw.bytes[0] != '"')
        return false;
    struct span inner = {raw.bytes + 1, raw.len - 2};
    return json_string_decode(inner, out, cap, ret_len, &at) == ERR_OK;
}

bool json_object_string_is(struct span raw, struct span text)
{
    char decoded[COMPARED_MAX_BYTES];
    size_t len;
    return json_object_string(raw, decoded, sizeof decoded, &len) && len <= sizeof decoded &&
           span_equal((struct span){decoded, len}, text);
}

bool json_array_open(struct json_array *array, struct span raw)
{
    if (raw.len == 0 || raw.bytes[0] != '[')
        return false;
    json_scan_init(&array->scan, raw);
    /* The array was found as a member of an object, that is at depth 1, and is read with the same
     * limit of depth as it was then. */
    array->scan.depth = 1;
    array->scan.skips_deep = true;
    return json_scan_open(&array->scan, &array->is_closed);
}

bool json_array_next(struct json_array *array, struct span *ret_element)
{
    return !array->is_closed && json_scan_value(&array->scan, ret_element) &&
           json_scan_next(&array->scan, &array->is_closed);
}
