#include "proto/note/inbox_event.h"

#include <criterion/criterion.h>

static const struct epoch epoch = {"k3f9a2qd"};

static struct notification *note_of(uint64_t seq)
{
    struct payload *payload = payload_new(SPAN_LITERAL("1"));
    struct notification *note =
        notification_new(payload, seq == 0 ? (struct epoch){0} : epoch, seq, 5, 6);
    payload_unref(payload);
    return note;
}

Test(inbox_event, a_withdrawal_names_a_range_of_an_epoch_and_why_it_left)
{
    struct withdrawal *withdrawal = withdrawal_new(epoch, 3, 7, GAP_COLLAPSED);
    cr_assert_not_null(withdrawal);
    cr_expect_eq(withdrawal->cause, GAP_COLLAPSED);
    cr_expect(epoch_equal(withdrawal->epoch, epoch));
    cr_expect_not(withdrawal_has(withdrawal, 2));
    cr_expect(withdrawal_has(withdrawal, 3));
    cr_expect(withdrawal_has(withdrawal, 7));
    cr_expect_not(withdrawal_has(withdrawal, 8));
    withdrawal_unref(withdrawal);
}

Test(inbox_event, names_the_epoch_and_the_highest_number_of_either_kind)
{
    struct inbox_event noted = inbox_event_of_note(note_of(118));
    struct inbox_event withdrawn =
        inbox_event_of_withdrawal(withdrawal_new(epoch, 3, 7, GAP_CANCELLED));
    cr_expect_eq(noted.kind, INBOX_NOTIFICATION);
    cr_expect_eq(inbox_event_seq(noted), 118);
    cr_expect(epoch_equal(inbox_event_epoch(noted), epoch));
    cr_expect_eq(withdrawn.kind, INBOX_WITHDRAWAL);
    cr_expect_eq(inbox_event_seq(withdrawn), 7);
    cr_expect(epoch_equal(inbox_event_epoch(withdrawn), epoch));
    inbox_event_unref(noted);
    inbox_event_unref(withdrawn);
}

/* ttl 0: it was never stored, so that it has neither. */
Test(inbox_event, of_a_notification_without_a_number_has_no_epoch)
{
    struct inbox_event event = inbox_event_of_note(note_of(0));
    cr_expect_eq(inbox_event_seq(event), 0);
    cr_expect(epoch_is_none(inbox_event_epoch(event)));
    inbox_event_unref(event);
}

/* Read after the first reference is gone: a sanitizer sees it freed too early, or never. */
Test(inbox_event, lives_as_long_as_its_last_reference)
{
    struct inbox_event kept[] = {
        inbox_event_of_note(note_of(118)),
        inbox_event_of_withdrawal(withdrawal_new(epoch, 3, 118, GAP_CANCELLED))};
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
        struct inbox_event again = inbox_event_ref(kept[i]);
        cr_assert_eq(again.kind, kept[i].kind);
        cr_assert_eq(atomic_load(again.kind == INBOX_NOTIFICATION ? &again.note->refs
                                                                  : &again.withdrawal->refs),
                     2);
        inbox_event_unref(kept[i]);
        cr_expect_eq(inbox_event_seq(again), 118);
        inbox_event_unref(again);
    }
}
