#include "proto/json/json_scan.h"
#include "proto/json/json_string.h"
#include "proto/json/json_text.h"

#include <criterion/criterion.h>

static void expect_string(struct span text, const char *expected)
{
    struct buf out;
    buf_init(&out, 1024);
    cr_assert_eq(json_text_string(&out, text), ERR_OK);
    cr_expect(span_equal(buf_span(&out), span_of(expected)), "%.*s", (int)out.len, out.bytes);
    buf_fini(&out);
}

Test(json_text, escapes_what_must_be_escaped_and_keeps_the_rest)
{
    expect_string(SPAN_LITERAL(""), "\"\"");
    expect_string((struct span){0}, "\"\"");
    expect_string(SPAN_LITERAL("plain"), "\"plain\"");
    expect_string(SPAN_LITERAL("a\"\\/\n\x7f\0\xc3\xa9"),
                  "\"a\\\"\\\\/\\u000a\\u007f\\u0000\xc3\xa9\"");
    expect_string(SPAN_LITERAL("\""), "\"\\\"\"");
}

Test(json_text, is_read_back_as_it_was_for_every_byte_of_ascii)
{
    for (int c = 0; c < 0x80; c++) {
        struct buf out;
        struct json_scan scan;
        struct span raw;
        bool has_escapes;
        char text[3] = {'x', (char)c, 'y'};
        char decoded[8];
        size_t len;
        size_t at;
        buf_init(&out, 64);
        cr_assert_eq(json_text_string(&out, (struct span){text, 3}), ERR_OK);
        json_scan_init(&scan, buf_span(&out));
        cr_assert(json_scan_string(&scan, &raw, &has_escapes) && json_scan_end(&scan), "%d", c);
        cr_assert_eq(json_string_decode(raw, decoded, sizeof decoded, &len, &at), ERR_OK);
        cr_expect(span_equal((struct span){decoded, len}, (struct span){text, 3}), "%d", c);
        buf_fini(&out);
    }
}

Test(json_text, leaves_the_buffer_as_it_was_when_there_is_no_room)
{
    for (size_t max = 1; max < 12; max++) {
        struct buf out;
        buf_init(&out, max);
        cr_assert_eq(buf_append(&out, "x", 1), ERR_OK);
        cr_expect_eq(json_text_string(&out, SPAN_LITERAL("ab\nc")), ERR_FULL, "%zu", max);
        cr_expect_eq(out.len, 1);
        buf_fini(&out);
    }
}
