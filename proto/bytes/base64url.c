#include "proto/bytes/base64url.h"

#include <stdint.h>

static int sextet_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '-')
        return 62;
    return c == '_' ? 63 : -1;
}

enum err base64url_decode(struct span text, void *out, size_t cap, size_t *ret_len)
{
    uint8_t *bytes = out;
    uint32_t bits = 0;
    unsigned n_bits = 0;
    size_t len = 0;
    if (text.len % 4 == 1)
        return ERR_INVALID_FIELD;
    for (size_t i = 0; i < text.len; i++) {
        int value = sextet_of(text.bytes[i]);
        if (value < 0)
            return ERR_INVALID_FIELD;
        bits = bits << 6 | (uint32_t)value;
        n_bits += 6;
        if (n_bits < 8)
            continue;
        n_bits -= 8;
        if (len == cap)
            return ERR_FULL;
        bytes[len++] = (uint8_t)(bits >> n_bits);
        bits &= (1u << n_bits) - 1;
    }
    if (bits != 0)
        return ERR_INVALID_FIELD;
    *ret_len = len;
    return ERR_OK;
}

size_t base64url_encode(struct span bytes, char *out)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    size_t n = 0;
    uint32_t bits = 0;
    unsigned n_bits = 0;
    for (size_t i = 0; i < bytes.len; i++) {
        bits = (bits << 8 | (unsigned char)bytes.bytes[i]) & 0xffff;
        for (n_bits += 8; n_bits >= 6; n_bits -= 6)
            out[n++] = alphabet[bits >> (n_bits - 6) & 0x3f];
    }
    if (n_bits > 0)
        out[n++] = alphabet[bits << (6 - n_bits) & 0x3f];
    return n;
}
