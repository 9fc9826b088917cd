/* The data of user.online, as the event log keeps it. */
#include "proto/note/event_online.h"

#include <criterion/criterion.h>

static struct buf out;

static void set_up(void)
{
    buf_init(&out, 1024);
}

static void tear_down(void)
{
    buf_fini(&out);
}

TestSuite(event_online, .init = set_up, .fini = tear_down);

static void expect_text(const char *text)
{
    cr_expect(span_equal(buf_span(&out), span_of(text)), "%.*s", (int)out.len, (char *)out.bytes);
}

static struct event_online sample(void)
{
    return (struct event_online){.user_id = SPAN_LITERAL("42"),
                                 .node = SPAN_LITERAL("a-1"),
                                 .connection = SPAN_LITERAL("c-7f3a"),
                                 .level = SPAN_LITERAL("herald.v1")};
}

Test(event_online, has_type_and_user_first_and_no_address_unless_it_is_told)
{
    struct event_online online = sample();
    cr_assert_eq(event_write_online(&out, &online), ERR_OK);
    expect_text("{\"type\":\"user.online\",\"userId\":\"42\",\"node\":\"a-1\",\"connection\":"
                "\"c-7f3a\",\"level\":\"herald.v1\",\"device\":null}");
    enum event_type type;
    cr_expect(event_type_of(buf_span(&out), &type));
    cr_expect_eq(type, EVENT_ONLINE);
}

Test(event_online, names_the_device_and_the_address)
{
    struct event_online online = sample();
    online.device = SPAN_LITERAL("phone \"2\"");
    online.address = SPAN_LITERAL("10.0.0.9");
    cr_assert_eq(event_write_online(&out, &online), ERR_OK);
    expect_text("{\"type\":\"user.online\",\"userId\":\"42\",\"node\":\"a-1\",\"connection\":"
                "\"c-7f3a\",\"level\":\"herald.v1\",\"device\":\"phone \\\"2\\\"\",\"address\":"
                "\"10.0.0.9\"}");
}

Test(event_online, leaves_nothing_where_there_is_no_room)
{
    struct event_online online = sample();
    struct buf small;
    for (size_t max = 1; max < 100; max++) {
        buf_init(&small, max);
        cr_expect_eq(event_write_online(&small, &online), ERR_FULL);
        cr_expect_eq(small.len, 0);
        buf_fini(&small);
    }
}
