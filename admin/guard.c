#include "admin/guard.h"

#include "proto/http/authority.h"
#include "proto/http/forwarded.h"

#include <stddef.h>

static void note_header_value(struct span *slot, unsigned *n, struct span value)
{
    if ((*n)++ == 0)
        *slot = span_trim(value);
}

struct known_header {
    struct span name;
    size_t value; /* offsets into struct guard_head: of its span, and of its number */
    size_t n;
};

#define KNOWN_HEADER(text, member)                                                                 \
    {                                                                                              \
        {text, sizeof text - 1}, offsetof(struct guard_head, member),                              \
            offsetof(struct guard_head, n_##member)                                                \
    }

static bool note_known_header(struct guard_head *head, struct span name, struct span value)
{
    static const struct known_header known[] = {
        KNOWN_HEADER("Host", host),
        KNOWN_HEADER("Origin", origin),
        KNOWN_HEADER("Content-Type", content_type),
        KNOWN_HEADER("Authorization", authorization),
        KNOWN_HEADER("Content-Length", content_length),
        KNOWN_HEADER("Transfer-Encoding", transfer_encoding),
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (name.len != known[i].name.len || !span_equal_nocase(name, known[i].name))
            continue;
        note_header_value((void *)((char *)head + known[i].value),
                          (void *)((char *)head + known[i].n), value);
        return true;
    }
    return false;
}

void guard_note(struct guard_head *head, struct span name, struct span value)
{
    if (note_known_header(head, name, value))
        return;
    if (span_equal_nocase(name, SPAN_LITERAL("Content-Encoding")))
        head->is_encoded |= !span_equal_nocase(span_trim(value), SPAN_LITERAL("identity"));
    else if (span_equal_nocase(name, SPAN_LITERAL("Expect")))
        head->has_expect = true;
    else if (forwarded_is_sign(name))
        head->is_forwarded = true;
}

static enum err parse_length(struct span text, uint64_t *ret_length, const char **ret_detail)
{
    uint64_t length = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.bytes[i] < '0' || text.bytes[i] > '9') {
            *ret_detail = "Content-Length must be a number";
            return ERR_BAD_HEAD;
        }
        if (i >= 18) {
            *ret_detail = "the body is too large";
            return ERR_TOO_LARGE;
        }
        length = length * 10 + (uint64_t)(text.bytes[i] - '0');
    }
    if (text.len == 0) {
        *ret_detail = "Content-Length is empty";
        return ERR_BAD_HEAD;
    }
    *ret_length = length;
    return ERR_OK;
}

enum err guard_framing(const struct guard_head *head, uint64_t *ret_content_length,
                       const char **ret_detail)
{
    *ret_content_length = 0;
    *ret_detail = NULL;
    if (head->n_host > 1 || (head->n_host == 1 && head->host.len == 0))
        *ret_detail = "exactly one Host is required";
    else if (head->n_content_length > 1)
        *ret_detail = "Content-Length stands twice";
    else if (head->n_authorization > 1)
        *ret_detail = "Authorization stands twice";
    else if (head->n_origin > 1 || head->n_content_type > 1)
        *ret_detail = "Origin or Content-Type stands twice";
    else if (head->n_transfer_encoding > 0 && head->n_content_length > 0)
        *ret_detail = "Transfer-Encoding and Content-Length exclude each other";
    else if (head->n_transfer_encoding > 1 ||
             (head->n_transfer_encoding == 1 &&
              !span_equal_nocase(head->transfer_encoding, SPAN_LITERAL("chunked"))))
        *ret_detail = "the only Transfer-Encoding is chunked";
    if (*ret_detail != NULL)
        return ERR_BAD_HEAD;
    if (head->n_content_length == 0)
        return ERR_OK;
    return parse_length(head->content_length, ret_content_length, ret_detail);
}

bool guard_is_health(struct span path)
{
    return span_equal(path, SPAN_LITERAL("/livez")) || span_equal(path, SPAN_LITERAL("/readyz"));
}

enum err guard_origin(const struct guard_head *head, const struct guard_rules *rules,
                      bool is_health, const char **ret_detail)
{
    bool is_strict = rules->is_unprotected && !is_health;
    *ret_detail = NULL;
    if (head->n_origin > 0 && !origin_is_host(head->origin, head->host, rules->is_tls))
        *ret_detail = "web pages of another origin may not use the admin API";
    else if (is_strict && (head->is_forwarded || head->n_host == 0))
        *ret_detail = head->is_forwarded
                          ? "without admin keys no proxy may stand in front of the admin API "
                            "(--insecure allows it)"
                          : "without admin keys Host must be there, and a loopback name or address "
                            "(--insecure allows a request without)";
    else if (is_strict && !rules->is_unix && !authority_is_loopback(head->host))
        *ret_detail = "without admin keys Host must be a loopback name or address "
                      "(--insecure allows others)";
    return *ret_detail == NULL ? ERR_OK : ERR_FORBIDDEN;
}

enum guard_media guard_media(const struct guard_head *head)
{
    struct span type = head->content_type;
    if (type.len == 0 || head->is_encoded)
        return GUARD_OTHER;
    const char *semicolon = memchr(type.bytes, ';', type.len);
    if (semicolon != NULL)
        type.len = (size_t)(semicolon - type.bytes);
    type = span_trim(type);
    if (span_equal_nocase(type, SPAN_LITERAL("application/json")))
        return GUARD_JSON;
    if (span_equal_nocase(type, SPAN_LITERAL("application/x-ndjson")))
        return GUARD_NDJSON;
    return GUARD_OTHER;
}
