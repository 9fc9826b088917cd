#include "proto/http/credentials.h"

#include "proto/bytes/user_id.h"

static enum err refuse_credentials(const char **ret_detail, const char *detail)
{
    *ret_detail = detail;
    return ERR_BAD_HEAD;
}

static enum err from_authorization(const struct http_head *head, const char *bytes,
                                   struct span *ret_token, const char **ret_detail)
{
    static const char scheme[] = "Bearer ";
    const size_t skip = sizeof scheme - 1;
    struct span value;
    if (!http_head_find(head, bytes, "Authorization", &value))
        return ERR_NOT_FOUND;
    if (http_head_count(head, bytes, "Authorization") > 1)
        return refuse_credentials(ret_detail, "Authorization stands twice");
    if (span_equal_nocase(value, SPAN_LITERAL("Bearer"))) {
        *ret_detail = "Authorization has no token behind Bearer";
        return ERR_UNAUTHORIZED;
    }
    /* Another scheme may be meant for somebody else, for instance for a proxy. */
    if (value.len <= skip || !span_equal_nocase((struct span){value.bytes, skip}, span_of(scheme)))
        return ERR_NOT_FOUND;
    *ret_token = span_trim((struct span){value.bytes + skip, value.len - skip});
    return ERR_OK;
}

static bool take_prefix(struct span *text, struct span prefix)
{
    if (text->len < prefix.len || memcmp(text->bytes, prefix.bytes, prefix.len) != 0)
        return false;
    *text = (struct span){text->bytes + prefix.len, text->len - prefix.len};
    return true;
}

static enum err from_subprotocol(const struct http_head *head, const char *bytes,
                                 struct span *ret_token, const char **ret_detail)
{
    unsigned n = 0;
    for (size_t i = 0; i < head->n_fields; i++) {
        if (!span_equal_nocase(http_part_span(bytes, head->fields[i].name),
                               SPAN_LITERAL("Sec-WebSocket-Protocol")))
            continue;
        struct span list = http_part_span(bytes, head->fields[i].value);
        while (list.len > 0) {
            struct span name = span_take_item(&list, ',');
            if (!take_prefix(&name, SPAN_LITERAL("bearer.")))
                continue;
            if (++n > 1)
                return refuse_credentials(ret_detail, "two tokens are offered as subprotocols");
            *ret_token = name;
        }
    }
    return n == 0 ? ERR_NOT_FOUND : ERR_OK;
}

/* Cookies are pairs separated by "; " (RFC 6265, 4.2.1). The first one with the name is used,
 * because browsers send the one with the longest path first (5.4). */
static enum err from_cookie(const struct http_head *head, const char *bytes, struct span name,
                            struct span *ret_token)
{
    struct span list;
    if (name.len == 0 || !http_head_find(head, bytes, "Cookie", &list))
        return ERR_NOT_FOUND;
    while (list.len > 0) {
        struct span pair = span_take_item(&list, ';');
        if (!take_prefix(&pair, name) || !take_prefix(&pair, SPAN_LITERAL("=")))
            continue;
        *ret_token = pair;
        return ERR_OK;
    }
    return ERR_NOT_FOUND;
}

static enum err from_query(const struct http_head *head, const char *bytes,
                           char room[CREDENTIALS_ROOM_BYTES], struct span *ret_token,
                           const char **ret_detail)
{
    struct span raw;
    size_t len;
    enum err error = query_find(http_part_span(bytes, head->query), "token", &raw);
    if (error == ERR_NOT_FOUND)
        return error;
    if (error != ERR_OK)
        return refuse_credentials(ret_detail, "token is given twice");
    if (percent_decode(raw, true, room, CREDENTIALS_ROOM_BYTES, &len) != ERR_OK)
        return refuse_credentials(ret_detail, "token has a bad percent-escape");
    *ret_token = (struct span){room, len};
    return ERR_OK;
}

enum err credentials_token(const struct http_head *head, const char *bytes,
                           const struct credentials_rules *rules, char room[CREDENTIALS_ROOM_BYTES],
                           struct span *ret_token, const char **ret_detail)
{
    enum err error = from_authorization(head, bytes, ret_token, ret_detail);
    if (error == ERR_NOT_FOUND)
        error = from_subprotocol(head, bytes, ret_token, ret_detail);
    if (error == ERR_NOT_FOUND)
        error = from_cookie(head, bytes, rules->cookie, ret_token);
    if (error == ERR_NOT_FOUND && rules->is_token_in_query)
        error = from_query(head, bytes, room, ret_token, ret_detail);
    return error;
}
