/* Writes text at a cursor, unchecked: the caller has made sure that there is room. Each function
 * returns the position after what it wrote. For text that is written once per notification, where a
 * check for each part would be measurable. Pure. */
#ifndef HERALD_PROTO_PUT_H
#define HERALD_PROTO_PUT_H

#include "proto/bytes/span.h"

#include <stdint.h>

enum { PUT_NUMBER_MAX_BYTES = 20 }; /* of a uint64_t, or of an int64_t and its sign */

static inline char *put_span(char *at, struct span bytes)
{
    if (bytes.len > 0)
        memcpy(at, bytes.bytes, bytes.len);
    return at + bytes.len;
}

#define PUT_LITERAL(at, text) put_span((at), SPAN_LITERAL(text))

static inline char *put_number(char *at, uint64_t number)
{
    if (number < 100) { /* most are lengths and counts */
        if (number >= 10)
            *at++ = (char)('0' + number / 10);
        *at = (char)('0' + number % 10);
        return at + 1;
    }
    char digits[PUT_NUMBER_MAX_BYTES];
    size_t first = sizeof digits;
    do {
        digits[--first] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    return put_span(at, (struct span){digits + first, sizeof digits - first});
}

static inline char *put_signed(char *at, int64_t number)
{
    if (number >= 0)
        return put_number(at, (uint64_t)number);
    *at = '-';
    return put_number(at + 1, 0 - (uint64_t)number);
}

#endif
