/* Hexadecimal digits (RFC 3986, 2.1; RFC 8259, 7). Pure. */
#ifndef HERALD_PROTO_HEX_H
#define HERALD_PROTO_HEX_H

/* -1: it is none. */
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

#endif
