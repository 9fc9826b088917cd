#include "gateway/channel.h"

#include <criterion/criterion.h>

static struct notification *note(uint64_t seq, const char *data)
{
    struct payload *payload = payload_new(span_of(data));
    struct notification *made = notification_new(payload, (struct epoch){"abcdefgh"}, seq, 1, 2);
    payload_unref(payload);
    return made;
}

Test(channel, keeps_the_order_and_a_reference_of_its_own)
{
    struct channel channel = {0};
    for (uint64_t seq = 1; seq <= 40; seq++) {
        struct notification *one = note(seq, "1");
        cr_assert_eq(channel_offer(&channel, one, 1000), ERR_OK);
        notification_unref(one);
    }
    cr_assert_eq(channel.n, 40);
    for (uint32_t i = 0; i < channel.n; i++)
        cr_assert_eq(channel_at(&channel, i)->seq, i + 1);
    channel_clear(&channel);
    cr_assert_eq(channel.n, 0);
}

Test(channel, is_bounded_in_bytes_and_says_what_it_left_to_the_inbox)
{
    struct channel channel = {0};
    struct notification *numbered = note(1, "12345678");
    struct notification *ephemeral = note(0, "12345678");
    cr_assert_eq(channel_offer(&channel, numbered, 10), ERR_OK);
    cr_assert_eq(channel_offer(&channel, ephemeral, 10), ERR_FULL);
    cr_assert_not(channel.has_overflowed, "what has no number is not in the inbox");
    cr_assert_eq(channel_offer(&channel, numbered, 10), ERR_FULL);
    cr_assert(channel.has_overflowed);
    channel_clear(&channel);
    cr_assert_not(channel.has_overflowed);
    notification_unref(numbered);
    notification_unref(ephemeral);
}

Test(channel, always_takes_one_however_large)
{
    struct channel channel = {0};
    struct notification *large = note(1, "a notification larger than the channel");
    cr_assert_eq(channel_offer(&channel, large, 4), ERR_OK);
    channel_clear(&channel);
    notification_unref(large);
}
