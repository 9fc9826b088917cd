#include "proto/bytes/decimal.h"

bool decimal_is_number(struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (!decimal_is_digit(text.bytes[i]))
            return false;
    }
    return text.len > 0;
}

bool decimal_read(struct span text, uint64_t max, uint64_t *ret_number)
{
    uint64_t number = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (!decimal_is_digit(text.bytes[i]) || __builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, decimal_digit(text.bytes[i]), &number))
            return false;
    }
    if (text.len == 0 || number > max)
        return false;
    *ret_number = number;
    return true;
}

bool decimal_read_plain(struct span text, uint64_t max, uint64_t *ret_number)
{
    return (text.len == 1 || (text.len > 1 && text.bytes[0] != '0')) &&
           decimal_read(text, max, ret_number);
}
