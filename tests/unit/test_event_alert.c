/* The data of notification.unacknowledged (EVENTS, the table of types). */
#include "proto/note/event.h"
#include "proto/note/event_alert.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static const struct event_alert sample = {.user_id = {"4\"2", 3},
                                          .epoch = {"k3f9a2qd"},
                                          .seq = 118,
                                          .pushed_ms = 1790000000123,
                                          .is_online = true,
                                          .cause = ALERT_WAITING,
                                          .data = {"{ \"n\":1e400 }", 13}};

static void expect_written(const struct event_alert *alert, const char *text)
{
    struct buf out;
    buf_init(&out, 4096);
    cr_assert_eq(event_write_alert(&out, alert), ERR_OK);
    cr_expect(span_equal(buf_span(&out), span_of(text)), "%.*s", (int)out.len, out.bytes);
    enum event_type type;
    cr_expect(event_type_of(buf_span(&out), &type) && type == EVENT_UNACKNOWLEDGED);
    buf_fini(&out);
}

Test(event_alert, has_the_notification_and_its_data_byte_for_byte)
{
    expect_written(&sample, "{\"type\":\"notification.unacknowledged\",\"userId\":\"4\\\"2\","
                            "\"notification\":\"k3f9a2qd-118\",\"pushed\":1790000000123,"
                            "\"online\":true,\"cause\":\"waiting\",\"data\":{ \"n\":1e400 }}");
}

Test(event_alert, of_what_is_not_there_has_no_data)
{
    struct event_alert gone = sample;
    gone.data = (struct span){0};
    gone.is_online = false;
    gone.cause = ALERT_OVERFLOW;
    expect_written(&gone, "{\"type\":\"notification.unacknowledged\",\"userId\":\"4\\\"2\","
                          "\"notification\":\"k3f9a2qd-118\",\"pushed\":1790000000123,"
                          "\"online\":false,\"cause\":\"overflow\"}");
    gone.cause = ALERT_UNKNOWN;
    expect_written(&gone, "{\"type\":\"notification.unacknowledged\",\"userId\":\"4\\\"2\","
                          "\"notification\":\"k3f9a2qd-118\",\"pushed\":1790000000123,"
                          "\"online\":false,\"cause\":\"unknown\"}");
}

/* "An event is its data and 1 KiB at most" */
Test(event_alert, fits_into_its_data_and_1_KiB_whoever_the_user_is)
{
    char user[128];
    memset(user, '"', sizeof user);
    struct event_alert longest = sample;
    longest.user_id = (struct span){user, sizeof user};
    longest.seq = UINT64_MAX;
    longest.pushed_ms = INT64_MAX;
    longest.is_online = false;
    longest.cause = ALERT_OVERFLOW;
    struct buf out;
    buf_init(&out, longest.data.len + EVENT_ALERT_MAX_BYTES);
    cr_expect_eq(event_write_alert(&out, &longest), ERR_OK);
    buf_fini(&out);
}

Test(event_alert, leaves_what_was_written_before_when_there_is_no_room)
{
    struct buf out;
    buf_init(&out, 100);
    cr_assert_eq(buf_append_text(&out, "[]"), ERR_OK);
    cr_expect_neq(event_write_alert(&out, &sample), ERR_OK);
    cr_expect(span_equal(buf_span(&out), SPAN_LITERAL("[]")));
    buf_fini(&out);
}
