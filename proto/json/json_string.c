#include "proto/json/json_string.h"

#include "proto/bytes/hex.h"

#include <stdint.h>

/* The code unit of the \uXXXX at `at`. */
static uint32_t code_unit(const char *at)
{
    uint32_t unit = 0;
    for (int i = 2; i < 6; i++)
        unit = unit << 4 | (uint32_t)hex_digit(at[i]);
    return unit;
}

static size_t utf8_write(uint32_t c, char out[4])
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xe0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3f));
        out[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3f));
    out[2] = (char)(0x80 | (c >> 6 & 0x3f));
    out[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

/* Decodes the \u escape at `at`, or the two of a surrogate pair. Returns the number of bytes that
 * it read, 0 for a lone surrogate. */
static size_t decode_unicode(const char *at, const char *end, char out[4], size_t *ret_len)
{
    uint32_t c = code_unit(at);
    size_t taken = 6;
    if (c >= 0xdc00 && c <= 0xdfff)
        return 0;
    if (c >= 0xd800 && c <= 0xdbff) {
        if (end - at < 12 || at[6] != '\\' || at[7] != 'u')
            return 0;
        uint32_t low = code_unit(at + 6);
        if (low < 0xdc00 || low > 0xdfff)
            return 0;
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
        taken = 12;
    }
    *ret_len = utf8_write(c, out);
    return taken;
}

static char decode_simple(char escape)
{
    switch (escape) {
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    default:
        return escape; /* quote, backslash, slash */
    }
}

enum err json_string_decode(struct span raw, char *out, size_t cap, size_t *ret_len, size_t *ret_at)
{
    const char *end = raw.bytes + raw.len;
    size_t len = 0;
    for (const char *at = raw.bytes; at < end;) {
        char piece[4] = {*at};
        size_t piece_len = 1;
        size_t taken = 1;
        if (*at == '\\' && at[1] == 'u') {
            taken = decode_unicode(at, end, piece, &piece_len);
            if (taken == 0) {
                *ret_at = (size_t)(at - raw.bytes);
                return ERR_BAD_JSON;
            }
        } else if (*at == '\\') {
            piece[0] = decode_simple(at[1]);
            taken = 2;
        }
        for (size_t i = 0; i < piece_len; i++, len++)
            if (len < cap)
                out[len] = piece[i];
        at += taken;
    }
    *ret_len = len;
    return ERR_OK;
}
