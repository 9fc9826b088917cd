#include "proto/note/notification.h"

#include "tests/unit/written.h"

#include <criterion/criterion.h>
#include <stdalign.h>
#include <stddef.h>

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

/* The first notification of a push needs no memory but the payload's, and both go together,
 * whichever is given back first; a second one has memory of its own. */
Test(notification, lives_in_the_room_of_its_payload_while_that_is_free)
{
    for (int first_gone = 0; first_gone < 3; first_gone++) {
        struct payload *payload = payload_new_keyed(SPAN_LITERAL("7"), SPAN_LITERAL("key"));
        struct notification *first = notification_new(payload, epoch_of("k3f9a2qd"), 1, 2, 3);
        struct notification *second = notification_new(payload, epoch_of("k3f9a2qd"), 2, 2, 3);
        cr_assert(first->is_in_payload);
        cr_assert_not(second->is_in_payload);
        cr_expect_eq((uintptr_t)first % alignof(max_align_t), 0);
        cr_expect_geq((uintptr_t)first, (uintptr_t)(payload_key(payload).bytes + 3));
        if (first_gone == 0)
            payload_unref(payload);
        notification_unref(first_gone == 1 ? second : first);
        struct notification *left = first_gone == 1 ? first : second;
        cr_expect(span_equal(payload_data(left->payload), SPAN_LITERAL("7")));
        cr_expect(span_equal(payload_key(left->payload), SPAN_LITERAL("key")));
        notification_unref(left);
        if (first_gone != 0)
            payload_unref(payload);
    }
}

Test(notification, of_a_payload_without_room_has_memory_of_its_own)
{
    struct payload *payload = payload_new(SPAN_LITERAL("7"));
    struct notification *note = notification_new(payload, epoch_of("k3f9a2qd"), 1, 2, 3);
    cr_assert_not(note->is_in_payload);
    payload_unref(payload);
    notification_unref(note);
}
