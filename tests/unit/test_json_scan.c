/* The strict scanner, against an independent parser (RFC 8259). */
#include "proto/json/json_scan.h"

#include "proto/json/json_string.h"
#include "tests/support/json_valid.h"

#include <cjson/cJSON.h>
#include <criterion/criterion.h>

/* Where cJSON is right it must agree: on texts that are plain ASCII, without NUL, BOM, control
 * characters, leading zeros or bare points, and with nothing after the value. */
static bool cjson_takes(const char *text)
{
    const char *end;
    cJSON *value = cJSON_ParseWithOpts(text, &end, true);
    cJSON_Delete(value);
    return value != NULL;
}

static bool cjson_is_lenient(const char *text)
{
    for (const char *at = text; *at != '\0'; at++)
        if ((*at == '0' && at[1] >= '0' && at[1] <= '9') || (*at == '.') || *at == '+' ||
            *at == '\t' || *at == '\\' || *at == '-')
            return true;
    return false;
}

Test(json_scan, agrees_with_an_independent_parser_on_changed_texts)
{
    static const char alphabet[] = "{}[]:,\"1 atrufelsn0";
    static const char seed_text[] = "{\"a\":[1,2,{\"b\":null}],\"c\":true,\"d\":\"x\",\"f\":false}";
    uint32_t random = 12345;
    unsigned n_valid = 0;
    for (int round = 0; round < 200000; round++) {
        char text[sizeof seed_text];
        memcpy(text, seed_text, sizeof text);
        for (int change = 0; change < 1 + round % 3; change++) {
            random = random * 1664525u + 1013904223u;
            text[(random >> 8) % (sizeof text - 1)] =
                alphabet[(random >> 20) % (sizeof alphabet - 1)];
        }
        if (cjson_is_lenient(text))
            continue;
        size_t offset = 0;
        bool is_valid = json_is_valid(span_of(text), &offset);
        n_valid += is_valid;
        cr_assert_eq(is_valid, cjson_takes(text), "%s (byte %zu)", text, offset);
    }
    cr_expect_gt(n_valid, 1000);
}

Test(json_scan, takes_scalars_and_refuses_what_follows)
{
    size_t offset = 99;
    cr_expect(json_is_valid(SPAN_LITERAL(" 1 "), &offset));
    cr_expect(json_is_valid(SPAN_LITERAL("\"\\uD800\""), &offset));
    cr_expect_eq(offset, 99);
    cr_expect_not(json_is_valid(SPAN_LITERAL("1 2"), &offset));
    cr_expect_eq(offset, 2);
    cr_expect_not(json_is_valid(SPAN_LITERAL(""), &offset));
    cr_expect_eq(offset, 0);
}

Test(json_string_decode, counts_what_does_not_fit)
{
    char out[2] = "";
    size_t len;
    size_t at;
    cr_expect_eq(json_string_decode(SPAN_LITERAL("a\\u00e9b"), out, sizeof out, &len, &at), ERR_OK);
    cr_expect_eq(len, 4);
    cr_expect_eq(memcmp(out, "a\xc3", 2), 0);
}

/* Strings are tested in blocks: each byte must be seen at each place in one, whatever follows. */
Test(json_scan, finds_every_special_byte_at_every_place_of_a_string)
{
    enum { LONGEST = 100 };
    char text[LONGEST + 2];
    for (size_t len = 1; len <= LONGEST; len++) {
        memset(text, 'x', sizeof text);
        text[0] = text[len + 1] = '"';
        for (size_t at = 1; at <= len; at++) {
            for (int byte = 0; byte < 256; byte++) {
                size_t offset = 0;
                text[at] = (char)byte;
                bool is_plain = byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
                bool is_valid = json_is_valid((struct span){text, len + 2}, &offset);
                cr_assert_eq(is_valid, is_plain, "byte %d at %zu of %zu", byte, at, len);
                if (!is_plain)
                    cr_assert(offset >= at && offset <= at + 2, "byte %d at %zu", byte, at);
            }
            text[at] = 'x';
        }
    }
}
