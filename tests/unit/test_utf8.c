#include "proto/bytes/utf8.h"

#include "tests/support/guarded.h"

#include <criterion/criterion.h>

/* As RFC 3629 writes it, and also where it must not be written. */
static size_t encode(uint32_t point, size_t len, char out[4])
{
    static const uint8_t leads[] = {0, 0x00, 0xc0, 0xe0, 0xf0};
    for (size_t i = len; i > 1; i--) {
        out[i - 1] = (char)(0x80 | (point & 0x3f));
        point >>= 6;
    }
    out[0] = (char)(leads[len] | point);
    return len;
}

static size_t length_of(uint32_t point)
{
    return point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
}

/* Whole, split at every byte and one byte at a time. */
static bool is_valid_anyhow(const char *text, size_t len)
{
    bool is_whole_valid = utf8_is_valid(guarded((struct span){text, len}));
    for (size_t cut = 0; cut <= len; cut++) {
        utf8_state state = UTF8_ACCEPT;
        bool is_fine =
            utf8_feed(&state, guarded((struct span){text, cut}).bytes, cut) &&
            utf8_feed(&state, guarded((struct span){text + cut, len - cut}).bytes, len - cut) &&
            state == UTF8_ACCEPT;
        cr_assert_eq(is_fine, is_whole_valid, "cut at %zu", cut);
    }
    utf8_state state = UTF8_ACCEPT;
    bool is_fine = true;
    for (size_t i = 0; i < len && is_fine; i++)
        is_fine = utf8_feed(&state, text + i, 1);
    cr_assert_eq(is_fine && state == UTF8_ACCEPT, is_whole_valid, "one byte at a time");
    return is_whole_valid;
}

Test(utf8, takes_every_code_point_but_the_surrogates)
{
    for (uint32_t point = 0; point <= 0x10ffff; point++) {
        char text[4];
        size_t len = encode(point, length_of(point), text);
        bool is_surrogate = point >= 0xd800 && point <= 0xdfff;
        if (utf8_is_valid((struct span){text, len}) == is_surrogate)
            cr_assert_fail("U+%04X", point);
    }
}

Test(utf8, takes_every_code_point_split_at_every_byte)
{
    for (uint32_t point = 0x80; point <= 0x10ffff; point++) {
        char text[4];
        size_t len = encode(point, length_of(point), text);
        bool is_surrogate = point >= 0xd800 && point <= 0xdfff;
        for (size_t cut = 1; cut < len; cut++) {
            utf8_state state = UTF8_ACCEPT;
            bool is_fine = utf8_feed(&state, text, cut) && state != UTF8_ACCEPT &&
                           utf8_feed(&state, text + cut, len - cut) && state == UTF8_ACCEPT;
            if (is_fine == is_surrogate)
                cr_assert_fail("U+%04X cut at %zu", point, cut);
        }
    }
}

Test(utf8, refuses_overlong_forms)
{
    for (uint32_t point = 0; point < 0x10000; point++) {
        for (size_t len = length_of(point) + 1; len <= 4; len++) {
            char text[4];
            encode(point, len, text);
            if (utf8_is_valid((struct span){text, len}))
                cr_assert_fail("U+%04X in %zu bytes", point, len);
        }
    }
}

Test(utf8, refuses_what_lies_above_10ffff)
{
    for (uint32_t point = 0x110000; point < 0x200000; point++) {
        char text[4];
        encode(point, 4, text);
        if (utf8_is_valid((struct span){text, 4}))
            cr_assert_fail("%X", point);
    }
    cr_assert_not(is_valid_anyhow("\xf8\x88\x80\x80\x80", 5));
    cr_assert_not(is_valid_anyhow("\xfe", 1));
    cr_assert_not(is_valid_anyhow("\xff", 1));
}

Test(utf8, takes_two_bytes_only_as_rfc_3629_pairs_them)
{
    for (unsigned first = 0; first < 256; first++) {
        for (unsigned second = 0; second < 256; second++) {
            char text[2] = {(char)first, (char)second};
            bool is_pair = first >= 0xc2 && first <= 0xdf && second >= 0x80 && second <= 0xbf;
            bool should = (first < 0x80 && second < 0x80) || is_pair;
            cr_assert_eq(utf8_is_valid((struct span){text, 2}), should, "%02x %02x", first, second);
        }
    }
}

Test(utf8, refuses_a_truncated_character_everywhere)
{
    static const char *const texts[] = {"\xc3",         "\xe2\x82",    "\xe2",      "\xf0\x9f\x98",
                                        "\xf0\x9f",     "abc\xf0",     "\xe2\x82z", "\xf0\x9f\x98z",
                                        "\xc3\xc3\xa9", "12345678\xe2"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        cr_assert_not(is_valid_anyhow(texts[i], strlen(texts[i])), "%zu", i);
}

/* The fast path takes eight bytes at a time: what it must not step over lies at each offset. */
Test(utf8, finds_a_bad_byte_at_every_offset_of_long_ascii)
{
    char text[40];
    for (size_t at = 0; at < sizeof text; at++) {
        memset(text, 'a', sizeof text);
        cr_assert(is_valid_anyhow(text, sizeof text));
        text[at] = (char)0x80;
        cr_assert_not(is_valid_anyhow(text, sizeof text), "%zu", at);
        text[at] = (char)0xff;
        cr_assert_not(is_valid_anyhow(text, sizeof text), "%zu", at);
    }
}

Test(utf8, takes_mixed_text_at_every_split)
{
    static const char text[] = "plain ascii, gr\xc3\xbc\xc3\x9f"
                               "e, \xe2\x82\xac 12, \xf0\x9f\x98\x80 and \0 too";
    cr_assert(is_valid_anyhow(text, sizeof text - 1));
}

Test(utf8, takes_nothing_at_all)
{
    utf8_state state = UTF8_ACCEPT;
    cr_assert(utf8_is_valid((struct span){NULL, 0}));
    cr_assert(utf8_feed(&state, NULL, 0));
    cr_assert_eq(state, UTF8_ACCEPT);
}
