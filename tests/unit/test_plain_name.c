#include "proto/bytes/plain_name.h"

#include <criterion/criterion.h>

Test(plain_name, has_letters_digits_dots_underscores_and_hyphens)
{
    unsigned n = 0;
    for (int c = 0; c < 256; c++) {
        char byte = (char)c;
        bool may = c != 0 && strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                    "0123456789._-",
                                    c) != NULL;
        n += may;
        cr_expect_eq(plain_name_may_have(byte), may, "%d", c);
        cr_expect_eq(plain_name_is_valid((struct span){&byte, 1}, 1), may, "%d", c);
    }
    cr_expect_eq(n, 65);
}

Test(plain_name, has_one_to_its_ceiling)
{
    cr_expect_not(plain_name_is_valid(SPAN_NONE, 3));
    cr_expect(plain_name_is_valid(SPAN_LITERAL("a"), 3));
    cr_expect(plain_name_is_valid(SPAN_LITERAL("a-b"), 3));
    cr_expect_not(plain_name_is_valid(SPAN_LITERAL("a-bc"), 3));
    cr_expect_not(plain_name_is_valid(SPAN_LITERAL("ab c"), 9));
    cr_expect_not(plain_name_is_valid(SPAN_LITERAL(" abc"), 9));
}
