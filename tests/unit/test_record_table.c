#include "gateway/upgrade/record_table.h"

#include <criterion/criterion.h>

enum colour { COLOUR_RED, COLOUR_BLUE };

/* One member of each kind and width. */
struct thing {
    uint8_t n8;
    uint16_t n16;
    uint64_t n64;
    enum colour colour;
    int32_t age_ms;
    bool is_new;
    struct span name;
    uint8_t epoch[8];
    uint32_t later; /* format 2 */
};

static const struct record_row thing_rows[] = {
    {200, RECORD_SPAN, 1, true, RECORD_MEMBER(struct thing, name), 5, "name"},
    {1, RECORD_UNSIGNED, 1, false, RECORD_MEMBER(struct thing, n8), UINT8_MAX, "n8"},
    {2, RECORD_UNSIGNED, 1, false, RECORD_MEMBER(struct thing, n16), 1000, "n16"},
    {3, RECORD_UNSIGNED, 1, false, RECORD_MEMBER(struct thing, n64), UINT64_MAX, "n64"},
    {4, RECORD_UNSIGNED, 1, false, RECORD_MEMBER(struct thing, colour), COLOUR_BLUE, "colour"},
    {5, RECORD_SIGNED, 1, false, RECORD_MEMBER(struct thing, age_ms), 0, "age"},
    {6, RECORD_BOOL, 1, false, RECORD_MEMBER(struct thing, is_new), 0, "isNew"},
    {7, RECORD_ARRAY, 1, false, RECORD_MEMBER(struct thing, epoch), 0, "epoch"},
    {201, RECORD_UNSIGNED, 2, false, RECORD_MEMBER(struct thing, later), 9, "later"},
};

static const struct record_table things = {thing_rows, sizeof thing_rows / sizeof thing_rows[0]};
static const struct record_table things_of_format_1 = {
    thing_rows, sizeof thing_rows / sizeof thing_rows[0] - 1};

static const struct thing full = {
    .n8 = 255,
    .n16 = 1000,
    .n64 = UINT64_MAX,
    .colour = COLOUR_BLUE,
    .age_ms = INT32_MIN,
    .is_new = true,
    .name = {"alice", 5},
    .epoch = "\0x\0y\0z\0",
    .later = 9,
};

static void write_thing(struct buf *buf, const struct thing *thing, unsigned format)
{
    buf_init(buf, 4096);
    struct record_writer writer = {.out = buf};
    record_write(&writer, &things, thing, format);
    cr_assert_eq(writer.error, ERR_OK);
}

static void must_be_full(const struct thing *thing, uint32_t later)
{
    cr_assert_eq(thing->n8, full.n8);
    cr_assert_eq(thing->n16, full.n16);
    cr_assert_eq(thing->n64, full.n64);
    cr_assert_eq(thing->colour, full.colour);
    cr_assert_eq(thing->age_ms, full.age_ms);
    cr_assert_eq(thing->is_new, full.is_new);
    cr_assert(span_equal(thing->name, full.name));
    cr_assert_arr_eq(thing->epoch, full.epoch, sizeof full.epoch);
    cr_assert_eq(thing->later, later);
}

Test(record_table, gives_back_every_member)
{
    char why[RECORD_WHY_MAX_BYTES] = "";
    struct buf buf;
    struct thing thing = {0};
    write_thing(&buf, &full, 2);
    cr_assert_eq(record_read(buf_span(&buf), &things, &thing, why), ERR_OK, "%s", why);
    must_be_full(&thing, 9);
    buf_fini(&buf);
}

Test(record_table, writes_what_is_zero_only_where_it_is_required)
{
    char why[RECORD_WHY_MAX_BYTES] = "";
    struct buf buf;
    struct thing thing = {.n8 = 3};
    write_thing(&buf, &(struct thing){0}, 2);
    cr_assert_eq(buf.len, RECORD_HEAD_BYTES);
    cr_assert_eq(record_read(buf_span(&buf), &things, &thing, why), ERR_OK);
    cr_assert_eq(thing.n8, 3);
    cr_assert_eq(thing.name.len, 0);
    buf_fini(&buf);
}

Test(record_table, leaves_out_what_the_format_does_not_have)
{
    char why[RECORD_WHY_MAX_BYTES] = "";
    struct buf buf;
    struct thing thing = {0};
    write_thing(&buf, &full, 1);
    cr_assert_eq(record_read(buf_span(&buf), &things_of_format_1, &thing, why), ERR_OK, "%s", why);
    must_be_full(&thing, 0);
    buf_fini(&buf);
}

Test(record_table, skips_unknown_tags_below_128_and_refuses_others)
{
    for (unsigned tag = 0; tag < 256; tag++) {
        char why[RECORD_WHY_MAX_BYTES] = "";
        struct buf buf;
        struct thing thing = {0};
        write_thing(&buf, &full, 2);
        struct record_writer writer = {.out = &buf};
        if ((tag >= 1 && tag <= 7) || tag == 200 || tag == 201) {
            buf_fini(&buf);
            continue;
        }
        record_put(&writer, (uint8_t)tag, SPAN_LITERAL("anything"));
        record_put_unsigned(&writer, 4, COLOUR_RED);
        enum err error = record_read(buf_span(&buf), &things, &thing, why);
        cr_assert_eq(error, tag < 128 ? ERR_OK : ERR_UNKNOWN_FIELD, "%u", tag);
        if (tag < 128)
            cr_assert_eq(thing.colour, COLOUR_RED); /* what follows is read */
        if (tag == 128)
            cr_assert_str_eq(why, "tag 128 is not known and may not be skipped");
        buf_fini(&buf);
    }
}

static void must_refuse(struct span bytes, const char *text)
{
    char why[RECORD_WHY_MAX_BYTES] = "";
    struct thing thing = {0};
    cr_assert_eq(record_read(bytes, &things, &thing, why), ERR_INVALID_FIELD, "%s", text);
    cr_assert_str_eq(why, text);
}

Test(record_table, names_the_member_that_is_wrong)
{
    must_refuse(SPAN_NONE, "name is missing");
    must_refuse(SPAN_LITERAL("\x01\x01\0\0\0\x01"), "name is missing");
    must_refuse(SPAN_LITERAL("\xc8\x06\0\0\0alices"), "name is malformed or out of range");
    must_refuse(SPAN_LITERAL("\x01\x02\0\0\0\0\x01"), "n8 is malformed or out of range");
    must_refuse(SPAN_LITERAL("\x02\x02\0\0\0\xe9\x03"), "n16 is malformed or out of range");
    must_refuse(SPAN_LITERAL("\x03\x09\0\0\0"
                             "123456789"),
                "n64 is malformed or out of range");
    must_refuse(SPAN_LITERAL("\x04\x01\0\0\0\x02"), "colour is malformed or out of range");
    must_refuse(SPAN_LITERAL("\x05\x05\0\0\0\0\0\0\0\x01"), "age is malformed or out of range");
    must_refuse(SPAN_LITERAL("\x06\x01\0\0\0\x02"), "isNew is malformed or out of range");
    must_refuse(SPAN_LITERAL("\x07\x07\0\0\0abcdefg"), "epoch is malformed or out of range");
    must_refuse(SPAN_LITERAL("\xc8\x02\0\0\0me\x01\x01"), "the record is cut off");
    must_refuse(SPAN_LITERAL("\xc8\x02\0\0\0me\x01\xff\xff\xff\xff"), "the record is cut off");
}

Test(record_table, takes_the_last_of_two)
{
    char why[RECORD_WHY_MAX_BYTES] = "";
    struct thing thing = {0};
    struct span twice = SPAN_LITERAL("\xc8\x01\0\0\0a\xc8\x01\0\0\0b");
    cr_assert_eq(record_read(twice, &things, &thing, why), ERR_OK);
    cr_assert(span_equal(thing.name, SPAN_LITERAL("b")));
}

Test(record_table, says_when_there_was_no_room)
{
    struct buf buf;
    buf_init(&buf, 12);
    struct record_writer writer = {.out = &buf};
    record_write(&writer, &things, &full, 1);
    cr_assert_eq(writer.error, ERR_FULL);
    buf_fini(&buf);
}
