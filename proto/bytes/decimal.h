/* Reads whole numbers in decimal digits from untrusted bytes: no sign, no space, no separator, only
 * ASCII digits, and no number above the caller's maximum. put.h writes them. Pure. */
#ifndef HERALD_PROTO_DECIMAL_H
#define HERALD_PROTO_DECIMAL_H

#include "proto/bytes/span.h"

#include <stdint.h>

static inline bool decimal_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The value of a digit, unsigned, so that no sign is extended for each. Above 9: it is no digit. */
static inline unsigned decimal_digit(char c)
{
    return (unsigned)(unsigned char)c - '0';
}

/* Is the text at least one digit, and nothing else? */
bool decimal_is_number(struct span text);

/* false: not a number, or above `max`; *ret_number is unchanged then. Leading zeros are allowed. */
bool decimal_read(struct span text, uint64_t max, uint64_t *ret_number);

/* Like decimal_read, but refuses leading zeros, so that a number has one form only. */
bool decimal_read_plain(struct span text, uint64_t max, uint64_t *ret_number);

/* Takes 1..max_digits digits and the byte `end` after them from the front of `rest`. false: `rest`
 * does not begin with them, and nothing is taken. max_digits: at most 19, so that nothing
 * overflows. */
static inline bool decimal_take(struct span *rest, size_t max_digits, char end,
                                uint64_t *ret_number)
{
    uint64_t number = 0;
    size_t i = 0;
    for (; i < rest->len && decimal_is_digit(rest->bytes[i]); i++) {
        if (i == max_digits)
            return false;
        number = number * 10 + decimal_digit(rest->bytes[i]);
    }
    if (i == 0 || i == rest->len || rest->bytes[i] != end)
        return false;
    *rest = (struct span){rest->bytes + i + 1, rest->len - i - 1};
    *ret_number = number;
    return true;
}

#endif
