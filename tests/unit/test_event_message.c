/* The data of client.message, as backends read it. */
#include "proto/note/event.h"
#include "proto/note/event_message.h"
#include "tests/support/json_valid.h"

#include <criterion/criterion.h>

static struct event_message a_message(void)
{
    return (struct event_message){
        .user_id = SPAN_LITERAL("4\"2"),
        .connection = 0x7f3a,
        .level = "herald.v1",
        .device = SPAN_LITERAL("tablet"),
        .client_id = SPAN_LITERAL("c-\\u0031"),
        .data = SPAN_LITERAL("{\"n\" : 9007199254740993 }"),
    };
}

static void expect_text(const struct event_message *message, const char *text)
{
    struct buf out;
    enum event_type type;
    buf_init(&out, 4096);
    cr_assert_eq(event_write_message(&out, message), ERR_OK);
    cr_expect(span_equal(buf_span(&out), span_of(text)), "%.*s", (int)out.len, out.bytes);
    cr_expect(event_type_of(buf_span(&out), &type));
    cr_expect_eq(type, EVENT_MESSAGE);
    buf_fini(&out);
}

Test(event_message, has_the_data_byte_for_byte_and_says_who_has_sent_it)
{
    struct event_message message = a_message();
    expect_text(&message,
                "{\"type\":\"client.message\",\"userId\":\"4\\\"2\",\"connection\":\"c-7f3a\","
                "\"level\":\"herald.v1\",\"device\":\"tablet\",\"clientId\":\"c-\\u0031\","
                "\"data\":{\"n\" : 9007199254740993 }}");
    message.device = message.client_id = SPAN_NONE;
    message.level = "plain";
    expect_text(&message,
                "{\"type\":\"client.message\",\"userId\":\"4\\\"2\",\"connection\":\"c-7f3a\","
                "\"level\":\"plain\",\"device\":null,\"clientId\":null,"
                "\"data\":{\"n\" : 9007199254740993 }}");
    message.connection = 0;
    message.level = "http";
    message.client_id = SPAN_LITERAL("1");
    expect_text(&message,
                "{\"type\":\"client.message\",\"userId\":\"4\\\"2\",\"level\":\"http\","
                "\"device\":null,\"clientId\":\"1\",\"data\":{\"n\" : 9007199254740993 }}");
}

Test(event_message, leaves_the_buffer_as_it_was_when_there_is_no_room)
{
    struct event_message message = a_message();
    struct buf whole;
    buf_init(&whole, 4096);
    cr_assert_eq(event_write_message(&whole, &message), ERR_OK);
    for (size_t max = 1; max < whole.len + 1; max++) {
        struct buf out;
        buf_init(&out, max);
        cr_assert_eq(buf_append(&out, "x", 1), ERR_OK);
        cr_expect_eq(event_write_message(&out, &message), ERR_FULL);
        cr_expect_eq(out.len, 1);
        buf_fini(&out);
    }
    buf_fini(&whole);
}

/* EVENTS: an event is its data and 1 KiB at most. */
Test(event_message, with_the_longest_texts_keeps_within_a_kibibyte_beside_its_data)
{
    char user[128], device[64], id[6 * CLIENT_ID_MAX_BYTES];
    struct buf out;
    const struct event_place place = {15, {"k3f9a2qd"}, UINT64_MAX, INT64_MAX};
    memset(user, '"', sizeof user);
    memset(device, 'd', sizeof device);
    for (size_t i = 0; i < sizeof id; i += 6)
        memcpy(id + i, "\\u0001", 6);
    const struct event_message message = {
        .user_id = {user, sizeof user},
        .connection = UINT64_MAX,
        .level = "herald.v1",
        .device = {device, sizeof device},
        .client_id = {id, sizeof id},
        .data = SPAN_LITERAL("1"),
    };
    struct buf shown;
    buf_init(&out, EVENT_MESSAGE_EXTRA_MAX_BYTES);
    buf_init(&shown, EVENT_MESSAGE_EXTRA_MAX_BYTES);
    cr_assert_eq(event_write_message(&out, &message), ERR_OK);
    cr_assert_eq(event_show(&shown, &place, buf_span(&out)), ERR_OK);
    size_t offset;
    cr_expect(json_is_valid(buf_span(&shown), &offset));
    buf_fini(&out);
    buf_fini(&shown);
}
