/* What may be a userId, and how one is read from a path and a query. */
#include "proto/bytes/user_id.h"

#include "tests/support/guarded.h"

#include <criterion/criterion.h>
#include <stdio.h>

static enum err check(struct span user_id)
{
    const char *detail = NULL;
    enum err error = user_id_check(guarded(user_id), &detail);
    if (error != ERR_OK)
        cr_assert_not_null(strstr(detail, "userId"), "%s", detail);
    return error;
}

static enum err decode(const char *encoded, bool is_query, const char *expected)
{
    char out[64];
    size_t len = 0;
    enum err error = percent_decode(guarded(span_of(encoded)), is_query, out, sizeof out, &len);
    if (error == ERR_OK)
        cr_assert(span_equal((struct span){out, len}, span_of(expected)), "%s", encoded);
    return error;
}

static enum err find(const char *query, const char *name, const char *expected)
{
    struct span raw;
    enum err error = query_find(guarded(span_of(query)), name, &raw);
    if (error == ERR_OK)
        cr_assert(span_equal(raw, span_of(expected)), "%s", query);
    return error;
}

static const char *detail_of(const char *query)
{
    char out[USER_ID_MAX_BYTES];
    size_t len;
    const char *detail = NULL;
    cr_assert_eq(query_user_id(guarded(span_of(query)), out, &len, &detail), ERR_INVALID_FIELD);
    cr_assert_not_null(detail);
    return detail;
}

Test(user_id, takes_1_to_128_bytes)
{
    char long_id[USER_ID_MAX_BYTES + 1];
    memset(long_id, 'x', sizeof long_id);
    cr_assert_eq(check(SPAN_LITERAL("")), ERR_INVALID_FIELD);
    for (size_t len = 1; len <= USER_ID_MAX_BYTES; len++)
        cr_assert_eq(check((struct span){long_id, len}), ERR_OK);
    cr_assert_eq(check((struct span){long_id, sizeof long_id}), ERR_INVALID_FIELD);
}

Test(user_id, takes_any_utf8_without_control_characters)
{
    cr_assert_eq(check(SPAN_LITERAL("42")), ERR_OK);
    cr_assert_eq(check(SPAN_LITERAL("a b/c?d=e&f%g+h{i}:j")), ERR_OK);
    cr_assert_eq(check(SPAN_LITERAL("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80")), ERR_OK);
    cr_assert_eq(check(SPAN_LITERAL("\xc2\xa0")), ERR_OK); /* U+00A0, the first beyond C1 */
}

Test(user_id, refuses_control_characters_of_both_blocks)
{
    for (unsigned c = 0; c < 0xa0; c++) {
        char ascii[3] = {'a', (char)c, 'b'};
        char latin[4] = {'a', (char)0xc2, (char)c, 'b'};
        enum err expected = c < 0x20 || c == 0x7f ? ERR_INVALID_FIELD : ERR_OK;
        if (c < 0x80)
            cr_assert_eq(check((struct span){ascii, sizeof ascii}), expected, "U+%04X", c);
        else
            cr_assert_eq(check((struct span){latin, sizeof latin}), ERR_INVALID_FIELD, "%X", c);
    }
}

Test(user_id, refuses_what_is_not_utf8)
{
    cr_assert_eq(check(SPAN_LITERAL("\xff")), ERR_INVALID_FIELD);
    cr_assert_eq(check(SPAN_LITERAL("\xc0\xaf")), ERR_INVALID_FIELD);
    cr_assert_eq(check(SPAN_LITERAL("\xed\xa0\x80")), ERR_INVALID_FIELD);
    cr_assert_eq(check(SPAN_LITERAL("a\xc2")), ERR_INVALID_FIELD);
}

static void expect_byte(const char *encoded, unsigned byte)
{
    char out[1];
    size_t len;
    cr_assert_eq(percent_decode(span_of(encoded), false, out, sizeof out, &len), ERR_OK);
    cr_assert_eq(len, 1);
    cr_assert_eq((unsigned char)out[0], byte, "%s", encoded);
}

Test(percent_decode, decodes_every_byte_in_both_cases_of_hex)
{
    for (unsigned byte = 0; byte < 256; byte++) {
        char encoded[4];
        snprintf(encoded, sizeof encoded, "%%%02x", byte);
        expect_byte(encoded, byte);
        snprintf(encoded, sizeof encoded, "%%%02X", byte);
        expect_byte(encoded, byte);
    }
}

Test(percent_decode, takes_a_plus_for_a_space_in_queries_only)
{
    cr_assert_eq(decode("a+b%2Bc", true, "a b+c"), ERR_OK);
    cr_assert_eq(decode("a+b%2Bc", false, "a+b+c"), ERR_OK);
}

Test(percent_decode, decodes_once)
{
    cr_assert_eq(decode("%2541", false, "%41"), ERR_OK);
}

Test(percent_decode, refuses_a_bad_or_truncated_escape)
{
    static const char *const bad[] = {"%",   "%4",  "a%",   "a%4", "%zz",
                                      "%4g", "%g4", "%%41", "%-1", "% 1"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert_eq(decode(bad[i], true, ""), ERR_INVALID_FIELD, "%s", bad[i]);
}

Test(percent_decode, stops_at_the_cap)
{
    char out[4] = {0, 0, 0, 'x'};
    size_t len;
    cr_assert_eq(percent_decode(SPAN_LITERAL("ab%63"), false, out, 3, &len), ERR_OK);
    cr_assert_eq(len, 3);
    cr_assert_eq(percent_decode(SPAN_LITERAL("ab%63d"), false, out, 3, &len), ERR_FULL);
    cr_assert_eq(out[3], 'x');
}

Test(percent_decode, decodes_in_place)
{
    char text[] = "a%20b%C3%BC";
    size_t len;
    cr_assert_eq(percent_decode(span_of(text), false, text, sizeof text, &len), ERR_OK);
    cr_assert(span_equal((struct span){text, len}, SPAN_LITERAL("a b\xc3\xbc")));
}

Test(query, finds_a_parameter_in_every_place)
{
    cr_assert_eq(find("userId=1", "userId", "1"), ERR_OK);
    cr_assert_eq(find("a=1&userId=2&b=3", "userId", "2"), ERR_OK);
    cr_assert_eq(find("a&&=&userId=2", "userId", "2"), ERR_OK);
    cr_assert_eq(find("userId=a=b", "userId", "a=b"), ERR_OK);
    cr_assert_eq(find("userId=%41+", "userId", "%41+"), ERR_OK);
    cr_assert_eq(find("userId=", "userId", ""), ERR_OK);
    cr_assert_eq(find("userId", "userId", ""), ERR_OK);
    cr_assert_eq(find("user%49d=7", "userId", "7"), ERR_OK);
}

Test(query, does_not_take_another_name_for_it)
{
    static const char *const queries[] = {"",          "userid=1",    "userIdx=1",
                                          "xuserId=1", "user=1",      "=userId",
                                          "a=userId",  "user%zzId=1", "a;userId=1"};
    for (size_t i = 0; i < sizeof queries / sizeof queries[0]; i++)
        cr_assert_eq(find(queries[i], "userId", ""), ERR_NOT_FOUND, "%s", queries[i]);
    char long_name[301];
    memset(long_name, 'u', sizeof long_name - 1);
    long_name[300] = '\0';
    cr_assert_eq(find(long_name, "userId", ""), ERR_NOT_FOUND);
}

/* CONTRACT 2: a parameter given twice is 400, however its name is written. */
Test(query, refuses_a_parameter_given_twice)
{
    cr_assert_eq(find("userId=1&userId=1", "userId", ""), ERR_INVALID_FIELD);
    cr_assert_eq(find("userId=1&a&user%49d=2", "userId", ""), ERR_INVALID_FIELD);
    cr_assert_eq(find("userId&userId", "userId", ""), ERR_INVALID_FIELD);
    cr_assert_eq(find("a=1&userId=1&a=2", "userId", "1"), ERR_OK);
}

Test(query, gives_the_decoded_user_id)
{
    char out[USER_ID_MAX_BYTES];
    size_t len;
    const char *detail;
    struct span query = SPAN_LITERAL("x=1&userId=%F0%9F%98%80+a%2Fb%26c%3Dd%25%2B");
    cr_assert_eq(query_user_id(guarded(query), out, &len, &detail), ERR_OK);
    cr_assert(span_equal((struct span){out, len}, SPAN_LITERAL("\xf0\x9f\x98\x80 a/b&c=d%+")));
}

Test(query, takes_a_user_id_of_128_bytes_after_decoding)
{
    char query[7 + 3 * (USER_ID_MAX_BYTES + 1) + 1] = "userId=";
    char out[USER_ID_MAX_BYTES];
    size_t len;
    const char *detail;
    for (size_t i = 0; i < USER_ID_MAX_BYTES; i++)
        memcpy(query + 7 + 3 * i, "%41", 4);
    cr_assert_eq(query_user_id(span_of(query), out, &len, &detail), ERR_OK);
    cr_assert_eq(len, USER_ID_MAX_BYTES);
    memcpy(query + 7 + (size_t)3 * USER_ID_MAX_BYTES, "%41", 4);
    cr_assert_str_eq(detail_of(query), "userId must be 1 to 128 bytes");
}

/* The detail goes to the caller as it is. */
Test(query, says_what_is_wrong_with_the_user_id)
{
    static const struct {
        const char *query;
        const char *word;
    } rows[] = {
        {"", "missing"},
        {"user=1", "missing"},
        {"userId=1&userId=1", "twice"},
        {"userId=", "1 to 128 bytes"},
        {"userId", "1 to 128 bytes"},
        {"userId=%4", "percent-escape"},
        {"userId=%zz", "percent-escape"},
        {"userId=%ff", "UTF-8"},
        {"userId=a%00b", "control characters"},
        {"userId=%c2%85", "control characters"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *detail = detail_of(rows[i].query);
        cr_assert_not_null(strstr(detail, rows[i].word), "%s: %s", rows[i].query, detail);
        cr_assert_eq(strncmp(detail, "userId ", 7), 0, "%s", detail);
    }
}
