/* Hexadecimal digits (RFC 3986, 2.1; RFC 8259, 7). Pure. */
#ifndef HERALD_PROTO_HEX_H
#define HERALD_PROTO_HEX_H

#include "proto/bytes/span.h"

#include <stdint.h>

/* The value of a digit in upper or lower case. -1: not a digit. */
static inline int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Writes two lower-case digits for each byte, without a NUL; returns the position after them. */
char *hex_put(char *at, const void *bytes, size_t n_bytes);
/* The same in upper case, as percent-encoding should use (RFC 3986, 2.1). */
char *hex_put_upper(char *at, const void *bytes, size_t n_bytes);

/* Reads up to 16 lower-case digits; an empty text reads as 0. false: not such a number, and
 * *ret_number is unchanged. */
bool hex_read(struct span text, uint64_t *ret_number);

#endif
