#include "gateway/session/backlog.h"

#include <criterion/criterion.h>

static struct notification *note_of(uint64_t seq)
{
    struct payload *payload = payload_new(SPAN_LITERAL("\"0123456789\""));
    struct notification *note =
        notification_new(payload, (struct epoch){"abcdefgh"}, seq, 1, INT64_MAX);
    payload_unref(payload);
    return note;
}

static size_t bytes_of(size_t n_notes, size_t n_items)
{
    return 12 * n_notes + n_items * sizeof(struct backlog_item);
}

static struct backlog *backlog_with(uint64_t n)
{
    struct backlog *backlog = NULL;
    for (uint64_t seq = 1; seq <= n; seq++) {
        struct notification *note = note_of(seq);
        cr_assert_eq(backlog_add(&backlog, note), ERR_OK);
        notification_unref(note);
    }
    return backlog;
}

Test(backlog, gives_notifications_and_gaps_back_in_order_and_ends_with_the_last)
{
    struct backlog *backlog = backlog_with(100);
    struct gap gap = {101, 105, GAP_OVERFLOW};
    cr_assert_eq(backlog_bytes(backlog), bytes_of(100, 100));
    cr_assert_eq(backlog_add_gap(&backlog, &gap), ERR_OK);
    for (uint64_t seq = 1; seq <= 100; seq++) {
        cr_assert_eq(backlog_note(backlog_first(backlog))->seq, seq);
        backlog_drop_first(&backlog);
    }
    cr_assert_null(backlog_note(backlog_first(backlog)));
    cr_assert_eq(backlog_gap(backlog_first(backlog)).to, 105);
    cr_assert_eq(backlog_bytes(backlog), bytes_of(0, 1));
    backlog_drop_first(&backlog);
    cr_assert_null(backlog);
    cr_assert_null(backlog_first(backlog));
}

Test(backlog, uses_its_room_again_while_it_moves_on)
{
    struct backlog *backlog = backlog_with(3);
    for (uint64_t seq = 4; seq < 10000; seq++) {
        struct notification *note = note_of(seq);
        cr_assert_eq(backlog_add(&backlog, note), ERR_OK);
        notification_unref(note);
        cr_assert_eq(backlog_note(backlog_first(backlog))->seq, seq - 3);
        backlog_drop_first(&backlog);
    }
    cr_assert_leq(backlog->cap, 32);
    backlog_free(backlog);
}

Test(backlog, turns_what_is_withdrawn_into_gaps_in_its_place)
{
    struct backlog *backlog = backlog_with(5);
    cr_assert_eq(backlog_withdraw(backlog, 2, 3, GAP_CANCELLED), 2);
    cr_assert_eq(backlog_withdraw(backlog, 9, 20, GAP_CANCELLED), 0);
    cr_assert_eq(backlog_bytes(backlog), bytes_of(3, 4));
    for (uint64_t seq = 1; seq <= 5; seq++) {
        const struct backlog_item *item = backlog_first(backlog);
        if (seq == 2) {
            cr_assert_null(backlog_note(item));
            cr_assert_eq(backlog_gap(item).from, 2);
            cr_assert_eq(backlog_gap(item).to, 3);
            cr_assert_eq(backlog_gap(item).cause, GAP_CANCELLED);
            seq++;
        } else {
            cr_assert_eq(backlog_note(item)->seq, seq);
        }
        backlog_drop_first(&backlog);
    }
    cr_assert_null(backlog);
    cr_assert_eq(backlog_withdraw(NULL, 1, 2, GAP_CANCELLED), 0);
    backlog_free(NULL);
}

/* CONTRACT 5.7: what waits in memory is bounded, also where one key is replaced all the time. */
Test(backlog, does_not_grow_while_each_notification_replaces_the_one_before)
{
    struct backlog *backlog = backlog_with(1);
    for (uint64_t seq = 2; seq < 10000; seq++) {
        struct notification *note = note_of(seq);
        cr_assert_eq(backlog_withdraw(backlog, seq - 1, seq - 1, GAP_COLLAPSED), 1);
        cr_assert_eq(backlog_add(&backlog, note), ERR_OK);
        notification_unref(note);
    }
    cr_assert_eq(backlog_bytes(backlog), bytes_of(1, 2));
    cr_assert_eq(backlog_gap(backlog_first(backlog)).from, 1);
    cr_assert_eq(backlog_gap(backlog_first(backlog)).to, 9998);
    backlog_free(backlog);
}

/* What is to be hidden is no gap, and no notification that could be withdrawn. */
Test(backlog, keeps_ranges_that_are_to_be_hidden_apart)
{
    struct backlog *backlog = backlog_with(1);
    const struct gap items[] = {{2, 2, GAP_COLLAPSED},
                                {3, 4, (enum gap_cause)BACKLOG_CANCEL},
                                {5, 5, (enum gap_cause)BACKLOG_CANCEL},
                                {6, 6, GAP_COLLAPSED}};
    for (size_t i = 0; i < 4; i++)
        cr_assert_eq(backlog_add_gap(&backlog, &items[i]), ERR_OK);
    cr_assert_eq(backlog_withdraw(backlog, 1, 6, GAP_CANCELLED), 1);
    cr_assert_eq(backlog_bytes(backlog), bytes_of(0, 4));
    bool are_cancels[] = {false, false, true, false};
    for (size_t i = 0; i < 4; i++) {
        const struct backlog_item *item = backlog_first(backlog);
        cr_assert_null(backlog_note(item));
        cr_assert_eq(backlog_is_cancel(item), are_cancels[i]);
        if (are_cancels[i])
            cr_assert_eq(item->n_missing, 3);
        backlog_drop_first(&backlog);
    }
    cr_assert_null(backlog);
}

Test(backlog, makes_one_gap_of_those_that_adjoin_and_have_one_cause)
{
    struct backlog *backlog = backlog_with(2);
    const struct gap gaps[] = {{3, 3, GAP_EXPIRED}, {4, 6, GAP_EXPIRED}, {7, 7, GAP_OVERFLOW}};
    for (size_t i = 0; i < 3; i++)
        cr_assert_eq(backlog_add_gap(&backlog, &gaps[i]), ERR_OK);
    cr_assert_eq(backlog_bytes(backlog), bytes_of(2, 4));
    cr_assert_eq(backlog_withdraw(backlog, 2, 2, GAP_EXPIRED), 1);
    cr_assert_eq(backlog_bytes(backlog), bytes_of(1, 3));
    backlog_drop_first(&backlog);
    cr_assert_eq(backlog_gap(backlog_first(backlog)).from, 2);
    cr_assert_eq(backlog_gap(backlog_first(backlog)).to, 6);
    backlog_free(backlog);
}
