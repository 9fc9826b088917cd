#include "gateway/upgrade/record.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static void write_into(struct buf *buf, struct record_writer *writer)
{
    buf_init(buf, 1 << 20);
    *writer = (struct record_writer){.out = buf};
}

static void must_take(struct span *rest, uint8_t tag, struct span bytes)
{
    uint8_t got = 0;
    struct span item = SPAN_NONE;
    cr_assert_eq(record_take(rest, &got, &item), RECORD_ITEM);
    cr_assert_eq(got, tag);
    cr_assert(span_equal(item, bytes));
}

Test(record, gives_back_what_was_put)
{
    struct buf buf;
    struct record_writer writer;
    write_into(&buf, &writer);
    record_put(&writer, 1, SPAN_LITERAL("alice"));
    record_put(&writer, 255, SPAN_NONE);
    cr_assert_eq(writer.error, ERR_OK);
    cr_assert(span_equal(buf_span(&buf), SPAN_LITERAL("\x01\x05\0\0\0"
                                                      "alice\xff\0\0\0\0")));
    struct span rest = buf_span(&buf);
    must_take(&rest, 1, SPAN_LITERAL("alice"));
    must_take(&rest, 255, SPAN_NONE);
    uint8_t tag;
    struct span item;
    cr_assert_eq(record_take(&rest, &tag, &item), RECORD_OVER);
    buf_fini(&buf);
}

Test(record, writes_numbers_in_the_bytes_that_they_need)
{
    static const struct {
        uint64_t number;
        size_t len;
    } cases[] = {{0, 0}, {1, 1}, {255, 1}, {256, 2}, {UINT64_C(1) << 53, 7}, {UINT64_MAX, 8}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf buf;
        struct record_writer writer;
        write_into(&buf, &writer);
        record_put_unsigned(&writer, 7, cases[i].number);
        struct span rest = buf_span(&buf);
        struct span item;
        uint8_t tag;
        uint64_t number = 99;
        cr_assert_eq(record_take(&rest, &tag, &item), RECORD_ITEM);
        cr_assert_eq(item.len, cases[i].len, "%zu", i);
        cr_assert(record_unsigned(item, UINT64_MAX, &number));
        cr_assert_eq(number, cases[i].number);
        buf_fini(&buf);
    }
}

Test(record, keeps_the_sign_of_a_number)
{
    static const int64_t numbers[] = {0, -1, 1, -128, 127, INT32_MIN, INT64_MIN, INT64_MAX};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        struct buf buf;
        struct record_writer writer;
        write_into(&buf, &writer);
        record_put_signed(&writer, 7, numbers[i]);
        struct span rest = buf_span(&buf);
        struct span item;
        uint8_t tag;
        int64_t number = 99;
        cr_assert_eq(record_take(&rest, &tag, &item), RECORD_ITEM);
        cr_assert(record_signed(item, INT64_MIN, INT64_MAX, &number));
        cr_assert_eq(number, numbers[i], "%zu", i);
        buf_fini(&buf);
    }
}

Test(record, holds_numbers_to_their_bounds)
{
    uint64_t number = 99;
    int64_t difference = 99;
    cr_assert(!record_unsigned(SPAN_LITERAL("\x05"), 4, &number));
    cr_assert(!record_unsigned(SPAN_LITERAL("123456789"), UINT64_MAX, &number));
    cr_assert(!record_signed(SPAN_LITERAL("\x05"), -2, 2, &difference));
    cr_assert(!record_signed(SPAN_LITERAL("\x06"), -2, 2, &difference));
    cr_assert_eq(number, 99);
    cr_assert_eq(difference, 99);
    cr_assert(record_signed(SPAN_LITERAL("\x05"), -3, 2, &difference));
    cr_assert_eq(difference, -3);
}

Test(record, nests)
{
    struct buf buf;
    struct record_writer writer;
    write_into(&buf, &writer);
    size_t outer = record_begin(&writer, 10);
    size_t inner = record_begin(&writer, 11);
    record_put(&writer, 12, SPAN_LITERAL("x"));
    record_end(&writer, inner);
    record_put_unsigned(&writer, 13, 1000);
    record_end(&writer, outer);
    cr_assert_eq(writer.error, ERR_OK);
    struct span rest = buf_span(&buf);
    struct span item;
    uint8_t tag;
    cr_assert_eq(record_take(&rest, &tag, &item), RECORD_ITEM);
    cr_assert_eq(rest.len, 0);
    must_take(&item, 11, SPAN_LITERAL("\x0c\x01\0\0\0x"));
    must_take(&item, 13, SPAN_LITERAL("\xe8\x03"));
    cr_assert_eq(item.len, 0);
    buf_fini(&buf);
}

Test(record, takes_nothing_from_what_is_cut_off)
{
    static const char whole[] = "\x01\x05\0\0\0alice";
    for (size_t len = 1; len < sizeof whole - 1; len++) {
        char *copy = malloc(len); /* a block of exactly that size, for the sanitizer */
        cr_assert_not_null(copy);
        memcpy(copy, whole, len);
        struct span rest = {copy, len};
        struct span item = SPAN_LITERAL("untouched");
        uint8_t tag = 77;
        cr_assert_eq(record_take(&rest, &tag, &item), RECORD_CUT, "%zu", len);
        cr_assert_eq(tag, 77);
        cr_assert_eq(rest.len, len);
        free(copy);
    }
    struct span huge = SPAN_LITERAL("\x01\xff\xff\xff\xff....");
    struct span item;
    uint8_t tag;
    cr_assert_eq(record_take(&huge, &tag, &item), RECORD_CUT);
}

Test(record, writes_no_more_after_an_error)
{
    struct buf buf;
    buf_init(&buf, 20);
    struct record_writer writer = {.out = &buf};
    size_t place = record_begin(&writer, 1);
    record_put(&writer, 2, SPAN_LITERAL("0123456789abcdef"));
    cr_assert_eq(writer.error, ERR_FULL);
    size_t len = buf.len;
    record_put(&writer, 3, SPAN_NONE);
    size_t second = record_begin(&writer, 4);
    record_end(&writer, second);
    record_end(&writer, place);
    cr_assert_eq(writer.error, ERR_FULL);
    cr_assert_eq(buf.len, len);
    buf_fini(&buf);
}
