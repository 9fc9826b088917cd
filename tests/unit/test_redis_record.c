/* Keys, entries and messages of the Redis store: what comes from Redis is never trusted. */
#include "gateway/stores/redis/redis_record.h"

#include "gateway/stores/redis/redis_url.h"

#include <criterion/criterion.h>

#define TIMES "1790000000000:1790000060000:"
#define HEAD  "k3f9a2qd:118:" TIMES

static struct notification *read_message(const char *text)
{
    struct inbox_event event = {0};
    cr_assert_eq(redis_message_read(span_of(text), &event), ERR_OK, "%s", text);
    cr_assert_eq(event.kind, INBOX_NOTIFICATION);
    return event.note;
}

static struct withdrawal *read_withdrawal(const char *text)
{
    struct inbox_event event = {0};
    cr_assert_eq(redis_message_read(span_of(text), &event), ERR_OK, "%s", text);
    cr_assert_eq(event.kind, INBOX_WITHDRAWAL);
    return event.withdrawal;
}

static void expect_span(struct span got, const char *text)
{
    cr_assert(span_equal(got, span_of(text)), "%.*s", (int)got.len, got.bytes);
}

Test(redis_record, a_message_carries_the_notification_its_position_and_what_it_replaces)
{
    struct notification *note = read_message("M:" HEAD "112:117:5:score{\"n\":1}");
    cr_assert_eq(note->seq, 118);
    cr_assert_eq(note->time_ms, 1790000000000);
    cr_assert_eq(note->expires_ms, 1790000060000);
    cr_assert_eq(note->acked, 112);
    cr_assert_eq(note->replaces, 117);
    cr_assert_not(note->is_replay);
    expect_span(payload_key(note->payload), "score");
    expect_span(payload_data(note->payload), "{\"n\":1}");
    notification_unref(note);
}

Test(redis_record, a_message_of_an_older_node_is_read)
{
    struct notification *note = read_message("N:" HEAD "{\"n\":1}");
    cr_assert_eq(note->seq, 118);
    cr_assert_eq(note->acked, 0);
    cr_assert_eq(note->replaces, 0);
    expect_span(payload_data(note->payload), "{\"n\":1}");
    notification_unref(note);
}

Test(redis_record, a_notification_that_is_too_big_is_only_announced)
{
    struct inbox_event event = {0};
    cr_assert_eq(redis_message_read(SPAN_LITERAL("B:" HEAD), &event), ERR_TOO_LARGE);
}

Test(redis_record, a_withdrawal_has_a_range_of_its_epoch)
{
    struct withdrawal *withdrawal = read_withdrawal("W:k3f9a2qd:113:118:");
    cr_assert(epoch_equal(withdrawal->epoch, (struct epoch){"k3f9a2qd"}));
    cr_assert_eq(withdrawal->from, 113);
    cr_assert_eq(withdrawal->to, 118);
    withdrawal_unref(withdrawal);
}

/* Older nodes say no cause, and cancel. */
Test(redis_record, a_withdrawal_has_the_cause_that_its_letter_says)
{
    static const struct {
        const char *text;
        enum gap_cause cause;
    } rows[] = {
        {"W:k3f9a2qd:4:4:l:", GAP_COLLAPSED},
        {"W:k3f9a2qd:4:4:c:", GAP_CANCELLED},
        {"W:k3f9a2qd:4:4:", GAP_CANCELLED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct withdrawal *withdrawal = read_withdrawal(rows[i].text);
        cr_assert_eq(withdrawal->cause, rows[i].cause, "%s", rows[i].text);
        withdrawal_unref(withdrawal);
    }
}

Test(redis_record, a_kind_of_a_later_version_is_skipped)
{
    struct inbox_event event;
    cr_assert_eq(redis_message_read(SPAN_LITERAL("K:kick"), &event), ERR_NOT_FOUND);
}

Test(redis_record, malformed_messages_are_refused)
{
    static const char *const texts[] = {
        "",
        "M",
        "Mx" HEAD,
        "M:K3F9A2QD:118:" TIMES "1:0:0:{}",
        "M:k3f9a2q:118:" TIMES "1:0:0:{}",
        "M:k3f9a2qd:0:" TIMES "1:0:0:{}",
        "M:k3f9a2qd:-1:" TIMES "1:0:0:{}",
        "M:" HEAD "1:0:3:{}",
        "M:" HEAD "1:0:9999999999999999:{}",
        "M:" HEAD "1:0:65:"
        "01234567890123456789012345678901234567890123456789012345678901234567890",
        "M:" HEAD "1:0:{}",
        "W:k3f9a2qd:0:3:",
        "W:k3f9a2qd:4:3:",
        "W:k3f9a2qd:4:",
        "W::1:3:",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct inbox_event event = {0};
        cr_assert_eq(redis_message_read(span_of(texts[i]), &event), ERR_STORE_UNAVAILABLE, "%s",
                     texts[i]);
        cr_assert_null(event.note);
    }
}

/* In memory of its own size, so that a sanitizer sees a byte read too far. */
Test(redis_record, every_beginning_of_a_message_is_taken_or_refused)
{
    static const char whole[] = "M:" HEAD "112:117:5:score{}";
    for (size_t len = 0; len < sizeof whole; len++) {
        char *part = malloc(len + 1);
        memcpy(part, whole, len);
        part = realloc(part, len > 0 ? len : 1);
        struct inbox_event event = {0};
        enum err error = redis_message_read((struct span){part, len}, &event);
        cr_assert(error == ERR_OK || error == ERR_STORE_UNAVAILABLE);
        inbox_event_unref(event);
        free(part);
    }
}

Test(redis_record, an_entry_is_a_replay_with_its_key)
{
    static const struct epoch epoch = {"k3f9a2qd"};
    struct notification *note = NULL;
    cr_assert_eq(
        redis_entry_read(epoch, 7, SPAN_LITERAL("1790000060000:1790000000000:5:score{}"), &note),
        ERR_OK);
    cr_assert(note->is_replay);
    cr_assert_eq(note->seq, 7);
    cr_assert_eq(note->expires_ms, 1790000060000);
    expect_span(payload_key(note->payload), "score");
    expect_span(payload_data(note->payload), "{}");
    notification_unref(note);
    cr_assert_eq(redis_entry_read(epoch, 7, SPAN_LITERAL("17:c!score"), &note),
                 ERR_STORE_UNAVAILABLE);
}

Test(redis_record, an_idempotency_key_follows_its_user)
{
    struct redis_keys keys;
    redis_keys_write(&keys, "herald", SPAN_LITERAL("a{b}%"));
    redis_keys_write_idem(&keys, SPAN_LITERAL("order-17"));
    redis_keys_write_channel(&keys, "herald");
    expect_span(keys.inbox, "herald:{a%7Bb%7D%25}:inbox");
    expect_span(keys.meta, "herald:{a%7Bb%7D%25}:meta");
    expect_span(keys.channel, "herald:{a%7Bb%7D%25}");
    expect_span(keys.idem, "herald:{a%7Bb%7D%25}:idem:order-17");
}

/* Channels know no databases, keys do. */
Test(redis_record, the_database_is_in_the_names_of_channels_and_not_of_keys)
{
    char channels[REDIS_CHANNELS_MAX_BYTES + 1];
    char user[USER_ID_MAX_BYTES];
    size_t len;
    struct redis_keys keys;
    redis_channels_write(channels, "herald", 0);
    cr_assert_str_eq(channels, "herald");
    redis_channels_write(channels, "herald", 3);
    redis_keys_write(&keys, "herald", SPAN_LITERAL("a{b}%"));
    redis_keys_write_channel(&keys, channels);
    expect_span(keys.channel, "herald:3:{a%7Bb%7D%25}");
    expect_span(keys.inbox, "herald:{a%7Bb%7D%25}:inbox");
    cr_assert(redis_channel_user(channels, keys.channel, user, &len));
    expect_span((struct span){user, len}, "a{b}%");
    cr_assert_not(redis_channel_user("herald", keys.channel, user, &len));
    cr_assert_not(redis_channel_user("herald:4", keys.channel, user, &len));
}

Test(redis_record, the_longest_names_fit)
{
    char user[USER_ID_MAX_BYTES], key[IDEMPOTENCY_KEY_MAX_BYTES];
    char prefix[REDIS_PREFIX_MAX_BYTES + 1];
    memset(user, '{', sizeof user);
    memset(key, 'k', sizeof key);
    memset(prefix, 'p', sizeof prefix - 1);
    prefix[sizeof prefix - 1] = '\0';
    struct redis_keys keys;
    redis_keys_write(&keys, prefix, (struct span){user, sizeof user});
    redis_keys_write_idem(&keys, (struct span){key, sizeof key});
    cr_assert_eq(keys.idem.len, sizeof prefix - 1 + 3 + 3 * sizeof user + 6 + sizeof key);
    cr_assert_eq(keys.numbers.len, keys.user.len + strlen(":numbers"));
    cr_assert_eq(keys.times.len, keys.user.len + strlen(":times"));
    char channels[REDIS_CHANNELS_MAX_BYTES + 1];
    redis_channels_write(channels, prefix, REDIS_DB_MAX);
    redis_keys_write_channel(&keys, channels);
    cr_assert_eq(keys.channel.len, sizeof prefix - 1 + 8 + 3 + 3 * sizeof user);
    char decoded[USER_ID_MAX_BYTES];
    size_t len;
    cr_assert(redis_channel_user(channels, keys.channel, decoded, &len));
    cr_assert_eq(len, sizeof user);
}

Test(redis_record, a_message_says_when_its_script_ran)
{
    int64_t time_ms = 0;
    cr_assert(redis_message_time(SPAN_LITERAL("M:k3f9a2qd:7:1700000000123:1700000060123:0:0:0:{}"),
                                 &time_ms));
    cr_assert_eq(time_ms, 1700000000123);
    cr_assert(redis_message_time(SPAN_LITERAL("B:k3f9a2qd:7:1700000000124:1:"), &time_ms));
    cr_assert_eq(time_ms, 1700000000124);
    static const char *const others[] = {"",
                                         "M",
                                         "M:k3f9a2qd",
                                         "M:k3f9a2qd:",
                                         "M:k3f9a2qd:7",
                                         "M:k3f9a2qd:7:170000000",
                                         "M:k3f9a2qd:7:x:",
                                         "M:k3f9a2qd7:1700000000123:",
                                         "W:k3f9a2qd:7:1700000000123:l:",
                                         "E:1700000000123:2:{}"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        cr_assert_not(redis_message_time(span_of(others[i]), &time_ms), "%s", others[i]);
}
