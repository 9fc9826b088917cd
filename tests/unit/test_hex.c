#include "proto/bytes/hex.h"

#include <criterion/criterion.h>

Test(hex, digits_of_both_cases_have_a_value_and_nothing_else_has)
{
    static const char digits[] = "0123456789abcdefABCDEF";
    for (int c = 0; c < 256; c++) {
        const char *at = c == 0 ? NULL : strchr(digits, c);
        int expected = at == NULL         ? -1
                       : at - digits < 16 ? (int)(at - digits)
                                          : (int)(at - digits) - 6;
        cr_assert_eq(hex_digit((char)c), expected, "%d", c);
    }
}

Test(hex, is_written_with_two_digits_a_byte)
{
    static const unsigned char bytes[] = {0x00, 0x0f, 0xa5, 0xff};
    char out[9] = "........";
    cr_assert_eq(hex_put(out, bytes, 3), out + 6);
    cr_assert_str_eq(out, "000fa5..");
    cr_assert_eq(hex_put_upper(out, bytes, 4), out + 8);
    cr_assert_str_eq(out, "000FA5FF");
}

Test(hex, is_read_up_to_64_bits)
{
    uint64_t number = 7;
    cr_assert(hex_read(SPAN_LITERAL("ffffffffffffffff"), &number));
    cr_assert_eq(number, UINT64_MAX);
    cr_assert(hex_read(SPAN_LITERAL("0000000000000001a"), &number) == false);
    cr_assert_eq(number, UINT64_MAX);
    cr_assert(hex_read(SPAN_LITERAL("01a"), &number));
    cr_assert_eq(number, 0x1a);
    cr_assert(hex_read(SPAN_LITERAL(""), &number));
    cr_assert_eq(number, 0);
}

Test(hex, is_read_in_lower_case_alone)
{
    static const char *const texts[] = {"A", "fF", "g", "-1", " 1", "0x1", "1\n"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        uint64_t number = 7;
        cr_assert_not(hex_read(span_of(texts[i]), &number), "%s", texts[i]);
        cr_assert_eq(number, 7);
    }
}
