#include "proto/bytes/decimal.h"
#include "proto/http/http_head.h"

/* Most names differ in length or in their first letter. */
static bool has_name(const struct http_head *head, const char *bytes, size_t i, struct span wanted)
{
    struct http_part name = head->fields[i].name;
    return name.len == wanted.len && ((bytes[name.at] ^ wanted.bytes[0]) & ~0x20) == 0 &&
           span_equal_nocase(http_part_span(bytes, name), wanted);
}

bool http_head_find(const struct http_head *head, const char *bytes, const char *name,
                    struct span *ret_value)
{
    struct span wanted = span_of(name);
    for (size_t i = 0; i < head->n_fields; i++) {
        if (has_name(head, bytes, i, wanted)) {
            *ret_value = http_part_span(bytes, head->fields[i].value);
            return true;
        }
    }
    return false;
}

unsigned http_head_count(const struct http_head *head, const char *bytes, const char *name)
{
    struct span wanted = span_of(name);
    unsigned n = 0;
    for (size_t i = 0; i < head->n_fields; i++)
        n += has_name(head, bytes, i, wanted);
    return n;
}

static bool list_has_token(struct span list, struct span token)
{
    while (list.len > 0) {
        if (span_equal_nocase(span_take_item(&list, ','), token))
            return true;
    }
    return false;
}

bool http_head_has_token(const struct http_head *head, const char *bytes, const char *name,
                         const char *token)
{
    struct span wanted = span_of(name);
    for (size_t i = 0; i < head->n_fields; i++) {
        if (has_name(head, bytes, i, wanted) &&
            list_has_token(http_part_span(bytes, head->fields[i].value), span_of(token)))
            return true;
    }
    return false;
}

bool http_head_is_json(const struct http_head *head, const char *bytes)
{
    struct span type;
    if (http_head_count(head, bytes, "Content-Type") != 1 ||
        !http_head_find(head, bytes, "Content-Type", &type))
        return false;
    const char *semicolon = type.len > 0 ? memchr(type.bytes, ';', type.len) : NULL;
    if (semicolon != NULL)
        type.len = (size_t)(semicolon - type.bytes);
    return span_equal_nocase(span_trim(type), SPAN_LITERAL("application/json"));
}

bool http_head_body_len(const struct http_head *head, const char *bytes, size_t max,
                        size_t *ret_len)
{
    struct span text;
    uint64_t len = 0;
    if (head->n_known[HTTP_TRANSFER_ENCODING] > 0)
        return false;
    if (http_head_get(head, bytes, HTTP_CONTENT_LENGTH, &text) && !decimal_read(text, max, &len))
        return false;
    *ret_len = (size_t)len;
    return true;
}
