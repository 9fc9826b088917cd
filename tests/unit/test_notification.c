#include "proto/note/notification.h"

#include "tests/unit/written.h"

#include <criterion/criterion.h>

Test(notification, holds_its_fields_and_a_payload_of_its_own)
{
    struct payload *payload = payload_new(SPAN_LITERAL("[]"));
    struct notification *note = notification_new(payload, epoch_of("k3f9a2qd"), 118, 1000, 2000);
    cr_assert_not_null(note);
    payload_unref(payload);
    cr_assert(epoch_equal(note->epoch, epoch_of("k3f9a2qd")));
    cr_assert_eq(note->seq, 118);
    cr_assert_eq(note->time_ms, 1000);
    cr_assert_eq(note->expires_ms, 2000);
    cr_assert(span_equal(payload_data(note->payload), SPAN_LITERAL("[]")));

    cr_assert_eq(notification_ref(note), note);
    notification_unref(note);
    cr_assert_eq(note->seq, 118);
    notification_unref(note);
    notification_unref(NULL);
}

Test(notification, shares_its_payload_with_others)
{
    struct payload *payload = payload_new(SPAN_LITERAL("1"));
    struct notification *a = notification_new(payload, epoch_of("aaaaaaaa"), 1, 0, 1);
    struct notification *b = notification_new(payload, (struct epoch){0}, 0, 0, 0);
    payload_unref(payload);
    notification_unref(a);
    cr_assert(span_equal(payload_data(b->payload), SPAN_LITERAL("1")));
    notification_unref(b);
}
