#include "gateway/backlog.h"

#include <criterion/criterion.h>

static struct notification *note_of(uint64_t seq)
{
    struct payload *payload = payload_new(SPAN_LITERAL("\"0123456789\""));
    struct notification *note =
        notification_new(payload, (struct epoch){"abcdefgh"}, seq, 1, INT64_MAX);
    payload_unref(payload);
    return note;
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
    cr_assert_eq(backlog_bytes(backlog), 1200);
    cr_assert_eq(backlog_add_gap(&backlog, &gap), ERR_OK);
    for (uint64_t seq = 1; seq <= 100; seq++) {
        cr_assert_eq(backlog_first(backlog)->note->seq, seq);
        backlog_drop_first(&backlog);
    }
    cr_assert_null(backlog_first(backlog)->note);
    cr_assert_eq(backlog_first(backlog)->gap.to, 105);
    cr_assert_eq(backlog_bytes(backlog), 0);
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
        cr_assert_eq(backlog_first(backlog)->note->seq, seq - 3);
        backlog_drop_first(&backlog);
    }
    cr_assert_leq(backlog->cap, 32);
    backlog_free(backlog);
}

Test(backlog, turns_what_is_withdrawn_into_gaps_where_it_stands)
{
    struct backlog *backlog = backlog_with(5);
    cr_assert_eq(backlog_withdraw(backlog, 2, 3, GAP_CANCELLED), 2);
    cr_assert_eq(backlog_withdraw(backlog, 9, 20, GAP_CANCELLED), 0);
    cr_assert_eq(backlog_bytes(backlog), 36);
    for (uint64_t seq = 1; seq <= 5; seq++) {
        const struct backlog_item *item = backlog_first(backlog);
        if (seq == 2 || seq == 3) {
            cr_assert_null(item->note);
            cr_assert_eq(item->gap.from, seq);
            cr_assert_eq(item->gap.to, seq);
            cr_assert_eq(item->gap.cause, GAP_CANCELLED);
        } else {
            cr_assert_eq(item->note->seq, seq);
        }
        backlog_drop_first(&backlog);
    }
    cr_assert_eq(backlog_withdraw(NULL, 1, 2, GAP_CANCELLED), 0);
    backlog_free(NULL);
}
