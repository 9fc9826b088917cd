/* Hexadecimal digits (RFC 3986, 2.1; RFC 8259, 7). Pure. */
#ifndef HERALD_PROTO_HEX_H
#define HERALD_PROTO_HEX_H

#include "proto/bytes/span.h"

#include <stdint.h>

/* The value of a digit in either case. -1: it is none. */
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

/* Writes two digits of lower case for each byte, without a NUL; answers the place after them. */
char *hex_put(char *at, const void *bytes, size_t n_bytes);
/* The same in upper case, as percent-encoding wants them (RFC 3986, 2.1). */
char *hex_put_upper(char *at, const void *bytes, size_t n_bytes);

/* Up to 16 digits of lower case; no digit is 0. false: *ret_number is unchanged. */
bool hex_read(struct span text, uint64_t *ret_number);

#endif
