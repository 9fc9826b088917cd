#include "gateway/node/channel.h"

#include <criterion/criterion.h>

static struct notification *note(uint64_t seq, const char *data)
{
    struct payload *payload = payload_new(span_of(data));
    struct notification *made = notification_new(payload, (struct epoch){"abcdefgh"}, seq, 1, 2);
    payload_unref(payload);
    return made;
}

static enum err offer_note(struct channel *channel, struct notification *one, uint32_t max_bytes)
{
    return channel_offer(channel, inbox_event_of_note(one), max_bytes);
}

Test(channel, keeps_the_order_and_a_reference_of_its_own)
{
    struct channel channel = {0};
    for (uint64_t seq = 1; seq <= 40; seq++) {
        struct notification *one = note(seq, "1");
        cr_assert_eq(offer_note(&channel, one, 40 * (1 + CHANNEL_NOTE_BYTES)), ERR_OK);
        notification_unref(one);
    }
    cr_assert_eq(channel.n, 40);
    for (uint32_t i = 0; i < channel.n; i++)
        cr_assert_eq(inbox_event_seq(channel_at(&channel, i)), i + 1);
    channel_clear(&channel);
    cr_assert_eq(channel.n, 0);
}

Test(channel, is_bounded_in_bytes_and_says_what_it_left_to_the_inbox)
{
    struct channel channel = {0};
    struct notification *numbered = note(1, "12345678");
    struct notification *ephemeral = note(0, "12345678");
    cr_assert_eq(offer_note(&channel, numbered, CHANNEL_NOTE_BYTES + 10), ERR_OK);
    cr_assert_eq(offer_note(&channel, ephemeral, CHANNEL_NOTE_BYTES + 10), ERR_FULL);
    cr_assert_not(channel.has_overflowed, "what has no number is not in the inbox");
    cr_assert_eq(offer_note(&channel, numbered, CHANNEL_NOTE_BYTES + 10), ERR_FULL);
    cr_assert(channel.has_overflowed);
    channel_clear(&channel);
    cr_assert_not(channel.has_overflowed);
    notification_unref(numbered);
    notification_unref(ephemeral);
}

/* CONTRACT 5.7: the ceiling is one of memory, however short the data is. */
Test(channel, counts_what_a_short_notification_costs_besides_its_data)
{
    struct channel channel = {0};
    struct notification *tiny = note(1, "1");
    cr_assert_geq(CHANNEL_NOTE_BYTES, sizeof(struct notification) + sizeof(struct inbox_event));
    for (int i = 0; i < 10; i++)
        cr_assert_eq(offer_note(&channel, tiny, 10 * (CHANNEL_NOTE_BYTES + 1)), ERR_OK);
    cr_assert_eq(offer_note(&channel, tiny, 10 * (CHANNEL_NOTE_BYTES + 1)), ERR_FULL);
    channel_clear(&channel);
    notification_unref(tiny);
}

Test(channel, always_takes_one_however_large)
{
    struct channel channel = {0};
    struct notification *large = note(1, "a notification larger than the channel");
    cr_assert_eq(offer_note(&channel, large, 4), ERR_OK);
    channel_clear(&channel);
    notification_unref(large);
}

static void offer(struct channel *channel, struct inbox_event event, enum err expected)
{
    cr_assert_eq(channel_offer(channel, event, CHANNEL_NOTE_BYTES + 10), expected);
    inbox_event_unref(event);
}

static struct inbox_event noted(uint64_t seq, const char *data)
{
    return inbox_event_of_note(note(seq, data));
}

static struct inbox_event replacing(uint64_t seq, uint64_t replaced)
{
    struct notification *made = note(seq, "12345678");
    made->replaces = replaced;
    return inbox_event_of_note(made);
}

static struct inbox_event withdrawing(uint64_t from, uint64_t to)
{
    return inbox_event_of_withdrawal(
        withdrawal_new((struct epoch){"abcdefgh"}, from, to, GAP_CANCELLED));
}

Test(channel, tells_what_was_replaced_by_a_notification_that_does_not_fit)
{
    struct channel channel = {0};
    offer(&channel, noted(7, "12345678"), ERR_OK);
    offer(&channel, replacing(8, 3), ERR_FULL);
    cr_assert_eq(channel.n, 2);
    cr_assert_eq(channel_withdrawn(&channel, 3), GAP_COLLAPSED);
    cr_assert_eq(channel_withdrawn(&channel, 7), GAP_NONE);
    cr_assert_eq(channel_at(&channel, 1).kind, INBOX_WITHDRAWAL);
    cr_assert(channel.has_overflowed);
    channel_clear(&channel);
}

Test(channel, makes_one_withdrawal_of_what_replaces_each_other_in_turn)
{
    struct channel channel = {0};
    offer(&channel, noted(7, "12345678"), ERR_OK);
    for (uint64_t seq = 8; seq < 5000; seq++)
        offer(&channel, replacing(seq, seq - 1), ERR_FULL);
    cr_assert_eq(channel.n, 2);
    cr_assert_eq(channel_at(&channel, 1).withdrawal->from, 7);
    cr_assert_eq(channel_at(&channel, 1).withdrawal->to, 4998);
    cr_assert_not(channel.has_lost_withdrawn);
    for (uint64_t seq = 5000; seq < 20000; seq += 2)
        offer(&channel, replacing(seq, seq - 2), ERR_FULL);
    cr_assert_eq(channel.n, 1 + CHANNEL_WITHDRAWALS_MAX);
    cr_assert(channel.has_lost_withdrawn, "the others are not in it");
    channel_clear(&channel);
}

Test(channel, takes_a_withdrawal_even_after_one_that_is_too_large)
{
    struct channel channel = {0};
    offer(&channel, noted(1, "a notification larger than the channel"), ERR_OK);
    offer(&channel, withdrawing(1, 1), ERR_OK);
    cr_assert_eq(channel_withdrawn(&channel, 1), GAP_CANCELLED);
    channel_clear(&channel);
}

Test(channel, keeps_what_is_withdrawn_when_it_sheds_the_rest)
{
    struct channel channel = {0};
    struct inbox_event events[] = {noted(5, "1"), replacing(6, 2), noted(7, "1"),
                                   withdrawing(3, 4)};
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++) {
        cr_assert_eq(channel_offer(&channel, events[i], 1000), ERR_OK);
        inbox_event_unref(events[i]);
    }
    channel_shed(&channel);
    cr_assert_eq(channel.n, 2);
    cr_assert_eq(channel.bytes, 0);
    cr_assert_eq(channel_withdrawn(&channel, 2), GAP_COLLAPSED);
    cr_assert_eq(channel_withdrawn(&channel, 3), GAP_CANCELLED);
    cr_assert_eq(channel_withdrawn(&channel, 4), GAP_CANCELLED);
    cr_assert_eq(channel_withdrawn(&channel, 6), GAP_NONE);
    channel_clear(&channel);
}
