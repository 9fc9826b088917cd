#include "proto/bytes/user_id.h"

#include "proto/bytes/hex.h"
#include "proto/bytes/utf8.h"

#include <stdint.h>

static bool has_control_character(struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t byte = (uint8_t)text.bytes[i];
        if (byte < 0x20 || byte == 0x7f)
            return true;
        /* U+0080-U+009F */
        if (byte == 0xc2 && i + 1 < text.len && (uint8_t)text.bytes[i + 1] < 0xa0)
            return true;
    }
    return false;
}

/* ASCII without a control character, which nearly all userIds are, is valid as it is. */
static bool is_plain_ascii(struct span text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((uint8_t)(text.bytes[i] - 0x20) >= 0x5f) /* 0x20 to 0x7e */
            return false;
    return true;
}

enum err user_id_check(struct span user_id, const char **ret_detail)
{
    if (user_id.len == 0 || user_id.len > USER_ID_MAX_BYTES) {
        *ret_detail = "userId must be 1 to 128 bytes";
        return ERR_INVALID_FIELD;
    }
    if (is_plain_ascii(user_id))
        return ERR_OK;
    if (!utf8_is_valid(user_id))
        *ret_detail = "userId must be valid UTF-8";
    else if (has_control_character(user_id))
        *ret_detail = "userId must have no control characters";
    else
        return ERR_OK;
    return ERR_INVALID_FIELD;
}

enum err percent_decode(struct span encoded, bool is_query, char *out, size_t cap, size_t *ret_len)
{
    size_t n = 0;
    for (size_t i = 0; i < encoded.len; i++) {
        char c = encoded.bytes[i];
        if (c == '+' && is_query) {
            c = ' ';
        } else if (c == '%') {
            int high = i + 2 < encoded.len ? hex_digit(encoded.bytes[i + 1]) : -1;
            int low = i + 2 < encoded.len ? hex_digit(encoded.bytes[i + 2]) : -1;
            if (high < 0 || low < 0)
                return ERR_INVALID_FIELD;
            c = (char)(high << 4 | low);
            i += 2;
        }
        if (n == cap)
            return ERR_FULL;
        out[n++] = c;
    }
    *ret_len = n;
    return ERR_OK;
}

/* Takes the bytes before the first `mark`, and the mark, off the front of *rest. Without a mark it
 * takes all of *rest. */
static struct span take_until(struct span *rest, char mark)
{
    const char *at = rest->len > 0 ? memchr(rest->bytes, mark, rest->len) : NULL;
    struct span first = *rest;
    if (at == NULL) {
        *rest = (struct span){rest->bytes + rest->len, 0};
        return first;
    }
    first.len = (size_t)(at - rest->bytes);
    rest->bytes = at + 1;
    rest->len -= first.len + 1;
    return first;
}

enum err query_find(struct span query, const char *name, struct span *ret_raw)
{
    char decoded[64];
    struct span wanted = span_of(name);
    bool is_found = false;
    while (query.len > 0) {
        struct span value = take_until(&query, '&');
        struct span key = take_until(&value, '=');
        size_t len;
        if (percent_decode(key, true, decoded, sizeof decoded, &len) != ERR_OK)
            continue; /* too long or badly escaped: an unknown parameter, ignored like others */
        if (!span_equal((struct span){decoded, len}, wanted))
            continue;
        if (is_found)
            return ERR_INVALID_FIELD;
        is_found = true;
        *ret_raw = value;
    }
    return is_found ? ERR_OK : ERR_NOT_FOUND;
}

enum err query_user_id(struct span query, char *out, size_t *ret_len, const char **ret_detail)
{
    struct span raw;
    switch (query_find(query, "userId", &raw)) {
    case ERR_OK:
        break;
    case ERR_NOT_FOUND:
        *ret_detail = "userId is missing";
        return ERR_INVALID_FIELD;
    default:
        *ret_detail = "userId is given twice";
        return ERR_INVALID_FIELD;
    }
    switch (percent_decode(raw, true, out, USER_ID_MAX_BYTES, ret_len)) {
    case ERR_OK:
        return user_id_check((struct span){out, *ret_len}, ret_detail);
    case ERR_FULL:
        *ret_detail = "userId must be 1 to 128 bytes";
        return ERR_INVALID_FIELD;
    default:
        *ret_detail = "userId has a bad percent-escape";
        return ERR_INVALID_FIELD;
    }
}
