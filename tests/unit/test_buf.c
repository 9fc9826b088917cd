#include "proto/bytes/buf.h"

#include <criterion/criterion.h>

static bool holds(const struct buf *buf, const char *text)
{
    return span_equal(buf_span(buf), span_of(text));
}

Test(buf, is_empty_and_owns_nothing_at_first)
{
    struct buf buf;
    buf_init(&buf, 16);
    cr_assert_null(buf.bytes);
    cr_assert_eq(buf_span(&buf).len, 0);
    buf_fini(&buf);
}

Test(buf, keeps_what_is_appended_in_order)
{
    struct buf buf;
    buf_init(&buf, 1024);
    cr_assert_eq(buf_append(&buf, "ab", 2), ERR_OK);
    cr_assert_eq(buf_append_span(&buf, SPAN_LITERAL("cd")), ERR_OK);
    cr_assert_eq(buf_append_text(&buf, "ef"), ERR_OK);
    cr_assert_eq(buf_printf(&buf, "%d-%s", 12, "x"), ERR_OK);
    cr_assert_eq(buf_append(&buf, NULL, 0), ERR_OK);
    cr_assert(holds(&buf, "abcdef12-x"));
    buf_fini(&buf);
}

Test(buf, grows_to_its_ceiling_and_no_further)
{
    struct buf buf;
    buf_init(&buf, 1000);
    for (size_t i = 0; i < 1000; i++)
        cr_assert_eq(buf_append(&buf, "x", 1), ERR_OK, "%zu", i);
    cr_assert_eq(buf.len, 1000);
    cr_assert_leq(buf.cap, 1000);
    cr_assert_eq(buf_append(&buf, "x", 1), ERR_FULL);
    cr_assert_eq(buf_append(&buf, "", 0), ERR_OK);
    buf_fini(&buf);
}

Test(buf, is_as_it_was_after_a_refusal)
{
    struct buf buf;
    buf_init(&buf, 8);
    cr_assert_eq(buf_append_text(&buf, "12345"), ERR_OK);
    cr_assert_eq(buf_append_text(&buf, "6789"), ERR_FULL);
    cr_assert_eq(buf_printf(&buf, "%s", "6789"), ERR_FULL);
    cr_assert_eq(buf_reserve(&buf, SIZE_MAX), ERR_FULL);
    cr_assert(holds(&buf, "12345"));
    cr_assert_eq(buf_append_text(&buf, "678"), ERR_OK);
    cr_assert(holds(&buf, "12345678"));
    buf_fini(&buf);
}

Test(buf, prints_a_text_longer_than_its_small_buffer)
{
    struct buf buf;
    char text[1001];
    memset(text, 'y', sizeof text - 1);
    text[1000] = '\0';
    buf_init(&buf, 4096);
    cr_assert_eq(buf_printf(&buf, "<%s>", text), ERR_OK);
    cr_assert_eq(buf.len, 1002);
    cr_assert_eq(buf.bytes[0], '<');
    cr_assert_eq(buf.bytes[1001], '>');
    buf_fini(&buf);
}

Test(buf, drops_bytes_from_the_front)
{
    struct buf buf;
    buf_init(&buf, 64);
    cr_assert_eq(buf_append_text(&buf, "abcdef"), ERR_OK);
    buf_consume(&buf, 0);
    cr_assert(holds(&buf, "abcdef"));
    buf_consume(&buf, 2);
    cr_assert(holds(&buf, "cdef"));
    cr_assert_eq(buf_append_text(&buf, "gh"), ERR_OK);
    cr_assert(holds(&buf, "cdefgh"));
    buf_consume(&buf, 6);
    cr_assert_eq(buf.len, 0);
    buf_fini(&buf);
}

Test(buf, gives_its_memory_back_when_cleared_and_can_be_used_again)
{
    struct buf buf;
    buf_init(&buf, 64);
    cr_assert_eq(buf_append_text(&buf, "abc"), ERR_OK);
    buf_clear(&buf);
    cr_assert_null(buf.bytes);
    cr_assert_eq(buf_append_text(&buf, "again"), ERR_OK);
    cr_assert(holds(&buf, "again"));
    buf_fini(&buf);
    buf_fini(&buf);
}
