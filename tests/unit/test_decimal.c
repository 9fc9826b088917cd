#include "proto/bytes/decimal.h"
#include "proto/bytes/put.h"

#include <criterion/criterion.h>

static void expect_read(const char *text, uint64_t max, uint64_t expected)
{
    uint64_t number = 7;
    cr_assert(decimal_read(span_of(text), max, &number), "%s", text);
    cr_assert_eq(number, expected, "%s", text);
}

static void expect_refused(const char *text, uint64_t max)
{
    uint64_t number = 7;
    cr_assert_not(decimal_read(span_of(text), max, &number), "%s", text);
    cr_assert_eq(number, 7, "%s changed what was there", text);
}

Test(decimal, reads_every_number_up_to_the_highest_of_64_bits)
{
    expect_read("0", UINT64_MAX, 0);
    expect_read("118", UINT64_MAX, 118);
    expect_read("18446744073709551615", UINT64_MAX, UINT64_MAX);
    expect_refused("18446744073709551616", UINT64_MAX);
    expect_refused("99999999999999999999", UINT64_MAX);
    expect_refused("184467440737095516150", UINT64_MAX);
}

Test(decimal, refuses_what_is_above_the_maximum)
{
    expect_read("65535", 65535, 65535);
    expect_refused("65536", 65535);
    expect_refused("99999", 65535);
    expect_read("3", 3, 3);
    expect_refused("4", 3);
    expect_read("0", 0, 0);
    expect_refused("1", 0);
}

Test(decimal, takes_nothing_but_digits)
{
    static const char *const texts[] = {"",    "-1",  "+1", " 1",  "1 ",  "1.0",
                                        "1e2", "0x1", "1a", "1\n", "1,0", "\xd9\xa1"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        expect_refused(texts[i], UINT64_MAX);
        cr_assert_not(decimal_is_number(span_of(texts[i])), "%s", texts[i]);
    }
    expect_refused("/", UINT64_MAX); /* the neighbours of 0 and 9 */
    expect_refused(":", UINT64_MAX);
    cr_assert(decimal_is_number(SPAN_LITERAL("0123456789")));
}

Test(decimal, has_one_plain_form_without_leading_zeros)
{
    uint64_t number = 7;
    expect_read("007", 7, 7);
    cr_assert_not(decimal_read_plain(SPAN_LITERAL("08"), 10, &number));
    cr_assert_not(decimal_read_plain(SPAN_LITERAL("00"), 10, &number));
    cr_assert_not(decimal_read_plain(SPAN_LITERAL(""), 10, &number));
    cr_assert_not(decimal_read_plain(SPAN_LITERAL("11"), 10, &number));
    cr_assert_eq(number, 7);
    cr_assert(decimal_read_plain(SPAN_LITERAL("0"), 10, &number));
    cr_assert_eq(number, 0);
    cr_assert(decimal_read_plain(SPAN_LITERAL("10"), 10, &number));
    cr_assert_eq(number, 10);
}

Test(decimal, is_taken_with_the_byte_after_it)
{
    struct span rest = SPAN_LITERAL("12:345-x");
    uint64_t number;
    cr_assert(decimal_take(&rest, 3, ':', &number));
    cr_assert_eq(number, 12);
    cr_assert(decimal_take(&rest, 3, '-', &number));
    cr_assert_eq(number, 345);
    cr_assert(span_equal(rest, SPAN_LITERAL("x")));
}

Test(decimal, that_cannot_be_taken_leaves_the_text_as_it_is)
{
    static const char *const texts[] = {"", ":", "12", "12;", "1234:", "-1:", "1 :"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct span rest = span_of(texts[i]);
        uint64_t number = 7;
        cr_assert_not(decimal_take(&rest, 3, ':', &number), "%s", texts[i]);
        cr_assert_eq(number, 7);
        cr_assert(span_equal(rest, span_of(texts[i])));
    }
}

Test(decimal, reads_what_put_number_writes)
{
    static const struct {
        uint64_t number;
        const char *text;
    } rows[] = {
        {0, "0"},     {9, "9"},     {10, "10"},   {99, "99"},
        {100, "100"}, {101, "101"}, {999, "999"}, {UINT64_MAX, "18446744073709551615"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[PUT_NUMBER_MAX_BYTES];
        uint64_t number = 1;
        struct span written = {text, (size_t)(put_number(text, rows[i].number) - text)};
        cr_assert(span_equal(written, span_of(rows[i].text)), "%.*s", (int)written.len, text);
        cr_assert(decimal_read_plain(written, UINT64_MAX, &number));
        cr_assert_eq(number, rows[i].number);
    }
}

Test(decimal, writes_the_sign_of_a_number_below_0)
{
    char text[PUT_NUMBER_MAX_BYTES];
    struct span lowest = {text, (size_t)(put_signed(text, INT64_MIN) - text)};
    cr_assert(span_equal(lowest, SPAN_LITERAL("-9223372036854775808")));
    struct span small = {text, (size_t)(put_signed(text, -42) - text)};
    cr_assert(span_equal(small, SPAN_LITERAL("-42")));
}
