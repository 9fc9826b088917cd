/* The cursor of GET /events (proto/note/event_cursor.h). */
#include "proto/note/event_cursor.h"

#include <criterion/criterion.h>

static struct event_cursor cursor_of(const char *consumer)
{
    struct event_cursor cursor = {.consumer_len = strlen(consumer)};
    memcpy(cursor.consumer, consumer, cursor.consumer_len);
    return cursor;
}

static struct event_cursor full_cursor(const char *consumer, uint64_t seq)
{
    struct event_cursor cursor = cursor_of(consumer);
    for (unsigned i = 0; i < EVENT_CURSOR_PARTITIONS; i++) {
        memcpy(cursor.positions[i].epoch.text, "k3f9a2qd", EPOCH_LEN);
        cursor.positions[i].seq = seq - i;
    }
    return cursor;
}

static void expect_same(const struct event_cursor *cursor, const struct event_cursor *read)
{
    cr_expect_eq(read->consumer_len, cursor->consumer_len);
    cr_expect_eq(memcmp(read->consumer, cursor->consumer, cursor->consumer_len), 0);
    for (unsigned i = 0; i < EVENT_CURSOR_PARTITIONS; i++) {
        cr_expect(epoch_equal(read->positions[i].epoch, cursor->positions[i].epoch));
        cr_expect_eq(read->positions[i].seq, cursor->positions[i].seq);
    }
}

Test(event_cursor, comes_back_as_it_was_written)
{
    char text[EVENT_CURSOR_MAX_BYTES];
    struct event_cursor read;
    struct event_cursor cursors[] = {cursor_of("a"), full_cursor("audit.log_2-x", 118),
                                     full_cursor("b", UINT64_MAX), cursor_of("c")};
    memcpy(cursors[3].positions[7].epoch.text, "abcdefg0", EPOCH_LEN);
    cursors[3].positions[7].seq = 300;
    for (size_t i = 0; i < sizeof cursors / sizeof cursors[0]; i++) {
        cr_assert_eq(event_cursor_write(&cursors[i], text), ERR_OK);
        cr_assert_eq(event_cursor_read(span_of(text), &read), ERR_OK, "%s", text);
        expect_same(&cursors[i], &read);
    }
}

Test(event_cursor, is_at_most_600_bytes_that_need_no_escape_in_a_query)
{
    char name[EVENT_CONSUMER_MAX_BYTES + 1] = "";
    char text[EVENT_CURSOR_MAX_BYTES];
    memset(name, 'n', EVENT_CONSUMER_MAX_BYTES);
    struct event_cursor cursor = full_cursor(name, UINT64_MAX);
    cr_assert_eq(event_cursor_write(&cursor, text), ERR_OK);
    cr_expect_leq(strlen(text), 600);
    cr_expect_eq(strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"),
                 strlen(text));
}

Test(event_cursor, is_refused_when_a_byte_of_it_is_changed_left_out_or_added)
{
    char text[EVENT_CURSOR_MAX_BYTES + 1];
    struct event_cursor cursor = full_cursor("orders", 118);
    struct event_cursor read;
    cr_assert_eq(event_cursor_write(&cursor, text), ERR_OK);
    size_t len = strlen(text);
    for (size_t i = 0; i < len; i++) {
        char kept = text[i];
        text[i] = kept == 'A' ? 'B' : 'A';
        cr_expect_eq(event_cursor_read(span_of(text), &read), ERR_INVALID_FIELD, "byte %zu", i);
        text[i] = kept;
        cr_expect_eq(event_cursor_read((struct span){text, i}, &read), ERR_INVALID_FIELD);
    }
    memcpy(text + len, "A", 2);
    cr_expect_eq(event_cursor_read(span_of(text), &read), ERR_INVALID_FIELD);
    cr_expect_eq(event_cursor_read(span_of("zzz"), &read), ERR_INVALID_FIELD);
}

Test(event_cursor, is_named_by_1_to_64_of_the_letters_of_names)
{
    char name[EVENT_CONSUMER_MAX_BYTES + 2] = "";
    memset(name, 'n', sizeof name - 1);
    cr_expect_not(event_consumer_is_valid(span_of(name)));
    name[EVENT_CONSUMER_MAX_BYTES] = '\0';
    cr_expect(event_consumer_is_valid(span_of(name)));
    cr_expect(event_consumer_is_valid(span_of("A-z.0_9")));
    cr_expect_not(event_consumer_is_valid(span_of("")));
    cr_expect_not(event_consumer_is_valid(span_of("a b")));
    cr_expect_not(event_consumer_is_valid(span_of("a/b")));
    cr_expect_not(event_consumer_is_valid(span_of("\xc3\xa4")));
}
