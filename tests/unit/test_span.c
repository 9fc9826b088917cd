#include "proto/bytes/span.h"

#include <criterion/criterion.h>

static bool is_trimmed_to(const char *text, const char *expected)
{
    return span_equal(span_trim(span_of(text)), span_of(expected));
}

Test(span, compares_bytes_and_lengths)
{
    cr_assert(span_equal(SPAN_LITERAL("abc"), span_of("abc")));
    cr_assert_not(span_equal(SPAN_LITERAL("abc"), span_of("abd")));
    cr_assert_not(span_equal(SPAN_LITERAL("abc"), span_of("ab")));
    cr_assert(span_equal(SPAN_LITERAL("a\0b"), SPAN_LITERAL("a\0b")));
    cr_assert_not(span_equal(SPAN_LITERAL("a\0b"), SPAN_LITERAL("a\0c")));
}

Test(span, takes_an_empty_one_without_bytes)
{
    cr_assert(span_equal((struct span){NULL, 0}, SPAN_LITERAL("")));
    cr_assert(span_equal_nocase((struct span){NULL, 0}, SPAN_LITERAL("")));
    cr_assert_eq(span_trim((struct span){NULL, 0}).len, 0);
}

/* RFC 9110, 5.1: only ASCII letters have a case. */
Test(span, compares_ascii_letters_without_case)
{
    cr_assert(span_equal_nocase(SPAN_LITERAL("Sec-WebSocket-Key"), span_of("sec-websocket-KEY")));
    cr_assert_not(span_equal_nocase(SPAN_LITERAL("abc"), span_of("abd")));
    cr_assert_not(span_equal_nocase(SPAN_LITERAL("abc"), span_of("abcd")));
    for (unsigned a = 0; a < 256; a++) {
        for (unsigned b = 0; b < 256; b++) {
            char left = (char)a;
            char right = (char)b;
            bool is_letter = (a >= 'A' && a <= 'Z') || (a >= 'a' && a <= 'z');
            bool should = a == b || (is_letter && (a ^ b) == 0x20);
            cr_assert_eq(span_equal_nocase((struct span){&left, 1}, (struct span){&right, 1}),
                         should, "%02x %02x", a, b);
        }
    }
}

Test(span, trims_spaces_and_tabs_at_both_ends_only)
{
    cr_assert(is_trimmed_to(" \t a b\t \t", "a b"));
    cr_assert(is_trimmed_to("a", "a"));
    cr_assert(is_trimmed_to(" \t ", ""));
    cr_assert(is_trimmed_to("", ""));
    cr_assert(is_trimmed_to("\r\na\n", "\r\na\n"));
}
