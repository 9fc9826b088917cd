/* The objects of JOSE: members by name, no name twice (RFC 7515, section 4). */
#include "proto/json/json_object.h"

#include <criterion/criterion.h>
#include <stdio.h>

static const char *const names[] = {"alg", "kid"};
static struct span raw[2];
static const char *why;

static bool scan(const char *text)
{
    why = NULL;
    return json_object_scan(span_of(text), names, 2, raw, &why);
}

Test(json_object, finds_members_among_others)
{
    cr_assert(
        scan(" {\"x\":{\"alg\":1,\"alg\":2}, \"alg\" : \"RS256\" ,\"y\":[1,2],\"z\":null} \r\n"));
    cr_assert(span_equal(raw[0], SPAN_LITERAL("\"RS256\"")));
    cr_assert_null(raw[1].bytes);
    cr_assert(scan("{}"));
    cr_assert_null(raw[0].bytes);
}

Test(json_object, refuses_a_repeated_name)
{
    static const char *const texts[] = {
        "{\"alg\":1,\"alg\":1}",
        "{\"alg\":1,\"\\u0061lg\":1}",
        "{\"\\u0061lg\":1,\"alg\":1}",
        "{\"x\":1,\"alg\":2,\"x\":3}",
        "{\"\":1,\"\":2}",
        "{\"a\\/b\":1,\"a/b\":2}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        cr_assert_not(scan(texts[i]), "%s", texts[i]);
        cr_assert_str_eq(why, "a member stands twice");
    }
}

Test(json_object, knows_a_name_that_is_written_with_escapes)
{
    cr_assert(scan("{\"\\u0061l\\u0067\":\"x\",\"a\\/b\":1}"));
    cr_assert(span_equal(raw[0], SPAN_LITERAL("\"x\"")));
}

Test(json_object, compares_names_to_their_end)
{
    cr_assert(scan("{\"al\":1,\"algo\":2,\"ALG\":3,\"alg\\u0000\":4,\"\":5}"));
    cr_assert_null(raw[0].bytes);
}

Test(json_object, refuses_what_is_no_object)
{
    static const char *const texts[] = {
        "",
        "[]",
        "\"x\"",
        "1",
        "null",
        "{",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{\"a\":1} x",
        "{\"a\":1}{}",
        "{a:1}",
        "{'a':1}",
        "{\"a\":01}",
        "{\"a\":\"\x01\"}",
        "{\"a\":\"\xff\"}",
        "{\"\\ud800\":1}",
        "\xef\xbb\xbf{}",
        "{\"a\":NaN}",
        "{\"a\":1 \"b\":2}",
        "{\"a\":\"\\x\"}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        cr_assert_not(scan(texts[i]), "%s", texts[i]);
        cr_assert_not_null(why, "%s", texts[i]);
    }
    cr_assert_not(json_object_scan((struct span){NULL, 0}, names, 2, raw, &why));
    cr_assert_not(json_object_scan(SPAN_LITERAL("{}\0"), names, 2, raw, &why));
}

Test(json_object, refuses_more_members_than_its_ceiling)
{
    char text[4096] = "{\"alg\":0";
    size_t len = strlen(text);
    for (int i = 1; i < JSON_OBJECT_MEMBERS_MAX; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, ",\"%d\":%d", i, i);
    strncat(text, "}", 2);
    cr_assert(scan(text), "%s", why);
    text[len] = '\0';
    strncat(text, ",\"x\":1}", 8);
    cr_assert_not(scan(text));
    cr_assert_str_eq(why, "an object has too many members");
}

Test(json_object, refuses_more_escaped_names_than_it_has_room_for)
{
    char text[3000] = "{\"\\n";
    memset(text + 4, 'x', JSON_OBJECT_ESCAPED_MAX_BYTES - 1);
    strncat(text, "\":1}", 5);
    cr_assert(scan(text), "%s", why);
    memset(text + 4, 'x', JSON_OBJECT_ESCAPED_MAX_BYTES);
    text[4 + JSON_OBJECT_ESCAPED_MAX_BYTES] = '\0';
    strncat(text, "\":1}", 5);
    cr_assert_not(scan(text));
}

Test(json_object, decodes_strings_and_nothing_else)
{
    char out[4];
    size_t len;
    cr_assert(json_object_string(SPAN_LITERAL("\"a\\u0062\""), out, sizeof out, &len));
    cr_assert(span_equal((struct span){out, len}, SPAN_LITERAL("ab")));
    cr_assert(json_object_string(SPAN_LITERAL("\"\""), out, sizeof out, &len));
    cr_assert_eq(len, 0);
    cr_assert(json_object_string(SPAN_LITERAL("\"abcdef\""), out, sizeof out, &len));
    cr_assert_eq(len, 6);
    cr_assert_not(json_object_string(SPAN_LITERAL("12"), out, sizeof out, &len));
    cr_assert_not(json_object_string((struct span){NULL, 0}, out, sizeof out, &len));
    cr_assert_not(json_object_string(SPAN_LITERAL("\"\\ud800\""), out, sizeof out, &len));
    cr_assert(json_object_string_is(SPAN_LITERAL("\"a\\/b\""), SPAN_LITERAL("a/b")));
    cr_assert_not(json_object_string_is(SPAN_LITERAL("\"a\\u0000\""), SPAN_LITERAL("a")));
    cr_assert_not(json_object_string_is((struct span){NULL, 0}, SPAN_LITERAL("")));
}

Test(json_object, goes_through_arrays)
{
    static const char *const want[] = {"1", "\"a\"", "[2,[3]]", "{\"x\":[]}"};
    struct json_array array;
    struct span element;
    size_t n = 0;
    cr_assert(json_array_open(&array, SPAN_LITERAL("[ 1 ,\"a\",[2,[3]], {\"x\":[]} ]")));
    for (; json_array_next(&array, &element); n++)
        cr_assert(span_equal(element, span_of(want[n])), "%zu", n);
    cr_assert_eq(n, 4);
    cr_assert(json_array_open(&array, SPAN_LITERAL("[]")));
    cr_assert_not(json_array_next(&array, &element));
    cr_assert_not(json_array_open(&array, SPAN_LITERAL("{}")));
    cr_assert_not(json_array_open(&array, (struct span){NULL, 0}));
}
