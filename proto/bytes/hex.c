#include "proto/bytes/hex.h"

static char *put_digits(char *at, const unsigned char *bytes, size_t n_bytes, const char *digits)
{
    for (size_t i = 0; i < n_bytes; i++) {
        *at++ = digits[bytes[i] >> 4];
        *at++ = digits[bytes[i] & 15];
    }
    return at;
}

char *hex_put(char *at, const void *bytes, size_t n_bytes)
{
    return put_digits(at, bytes, n_bytes, "0123456789abcdef");
}

char *hex_put_upper(char *at, const void *bytes, size_t n_bytes)
{
    return put_digits(at, bytes, n_bytes, "0123456789ABCDEF");
}

bool hex_read(struct span text, uint64_t *ret_number)
{
    uint64_t number = 0;
    if (text.len > 16)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        int digit = hex_digit(text.bytes[i]);
        if (digit < 0 || (text.bytes[i] >= 'A' && text.bytes[i] <= 'F'))
            return false;
        number = number << 4 | (uint64_t)digit;
    }
    *ret_number = number;
    return true;
}
