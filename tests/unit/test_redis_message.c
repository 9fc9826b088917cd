/* Messages of one node to others, as they are on the wire (gateway/stores/redis/README.md). */
#include "gateway/stores/redis/redis_message.h"

#include <criterion/criterion.h>

Test(redis_message, a_question_says_who_asks_and_what)
{
    struct epoch name;
    uint64_t number;
    struct store_asked asked;
    cr_assert_eq(redis_question_read(SPAN_LITERAL("K:k3f9a2qd:12:1700000000000:moved: away"), &name,
                                     &number, &asked),
                 ERR_OK);
    cr_expect(epoch_equal(name, (struct epoch){"k3f9a2qd"}));
    cr_expect_eq(number, 12);
    cr_expect_eq(asked.kind, STORE_ASK_KICK);
    cr_expect_eq(asked.until_ms, 1700000000000);
    cr_expect(span_equal(asked.reason, SPAN_LITERAL("moved: away")));
    cr_assert_eq(redis_question_read(SPAN_LITERAL("Q:k3f9a2qd:1:c"), &name, &number, &asked),
                 ERR_OK);
    cr_expect_eq(asked.kind, STORE_ASK_DESCRIBE);
    cr_assert_eq(
        redis_question_read(SPAN_LITERAL("Q:k3f9a2qd:1:w:118:abcdefgh"), &name, &number, &asked),
        ERR_OK);
    cr_expect_eq(asked.kind, STORE_ASK_WRITTEN);
    cr_expect_eq(asked.seq, 118);
    cr_expect(epoch_equal(asked.epoch, (struct epoch){"abcdefgh"}));
    cr_assert_eq(redis_question_read(SPAN_LITERAL("Q:k3f9a2qd:1:w:118"), &name, &number, &asked),
                 ERR_OK);
    cr_expect_eq(asked.seq, 118);
    cr_expect(epoch_is_none(asked.epoch));
    cr_assert_eq(redis_question_read(SPAN_LITERAL("Q:k3f9a2qd:1:h:c-7f3a"), &name, &number, &asked),
                 ERR_OK);
    cr_expect_eq(asked.kind, STORE_ASK_CONNECTION);
    cr_expect_eq(asked.connection, 0x7f3a);
    cr_assert_eq(redis_question_read(SPAN_LITERAL("L:k3f9a2qd:1:0000000112a40000:1000"), &name,
                                     &number, &asked),
                 ERR_OK);
    cr_expect_eq(asked.kind, STORE_ASK_CLIENTS);
    cr_expect_eq(asked.after, 0x112a40000);
    cr_expect_eq(asked.limit, 1000);
    cr_assert_eq(redis_question_read(SPAN_LITERAL("L:k3f9a2qd:1::1"), &name, &number, &asked),
                 ERR_OK);
    cr_expect_eq(asked.after, 0);
    cr_expect_eq(asked.limit, 1);
}

Test(redis_message, a_question_of_a_later_version_is_skipped_and_a_malformed_one_refused)
{
    static const struct {
        const char *text;
        enum err error;
    } rows[] = {
        {"", ERR_NOT_FOUND},
        {"Z:k3f9a2qd:1:c", ERR_NOT_FOUND},
        {"Q:k3f9a2qd:1:d", ERR_NOT_FOUND},
        {"Q:k3f9a2qd:1:", ERR_NOT_FOUND},
        {"Q:k3f9a2qd:1:w:", ERR_NOT_FOUND},
        {"K", ERR_STORE_UNAVAILABLE},
        {"K:k3f9a2qd:1", ERR_STORE_UNAVAILABLE},
        {"K:K3F9A2QD:1:0:", ERR_STORE_UNAVAILABLE},
        {"K:k3f9a2qd:1:moved", ERR_STORE_UNAVAILABLE},
        {"K:k3f9a2qd:1:0:\xff", ERR_STORE_UNAVAILABLE},
        {"Q:k3f9a2qd:1:w:x", ERR_STORE_UNAVAILABLE},
        {"Q:k3f9a2qd:1:h:", ERR_NOT_FOUND},
        {"Q:k3f9a2qd:1:h:7f3a", ERR_STORE_UNAVAILABLE},
        {"Q:k3f9a2qd:1:w:1:abc", ERR_STORE_UNAVAILABLE},
        {"L:k3f9a2qd:1", ERR_STORE_UNAVAILABLE},
        {"L:k3f9a2qd:1:", ERR_STORE_UNAVAILABLE},
        {"L:k3f9a2qd:1:0", ERR_STORE_UNAVAILABLE},
        {"L:k3f9a2qd:1:0:0", ERR_STORE_UNAVAILABLE},
        {"L:k3f9a2qd:1:0:1001", ERR_STORE_UNAVAILABLE},
        {"L:k3f9a2qd:1:x:1", ERR_STORE_UNAVAILABLE},
        {"L:k3f9a2qd:1:00000000000000000:1", ERR_STORE_UNAVAILABLE},
    };
    struct epoch name;
    uint64_t number;
    struct store_asked asked;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        cr_expect_eq(redis_question_read(span_of(rows[i].text), &name, &number, &asked),
                     rows[i].error, "%s", rows[i].text);
}

Test(redis_message, a_push_that_waits_and_its_answer_are_read)
{
    struct store_watch watch;
    struct epoch epoch;
    uint64_t number, acked;
    cr_assert(redis_watch_read(SPAN_LITERAL("Y:k3f9a2qd:12:abcdefgh:118:"), &watch));
    cr_expect(epoch_equal(watch.node, (struct epoch){"k3f9a2qd"}));
    cr_expect_eq(watch.number, 12);
    cr_expect(epoch_equal(watch.epoch, (struct epoch){"abcdefgh"}));
    cr_expect_eq(watch.seq, 118);
    cr_expect_not(redis_watch_read(SPAN_LITERAL("Y:k3f9a2qd:12:abcdefgh:0:"), &watch));
    cr_expect_not(redis_watch_read(SPAN_LITERAL("Y:k3f9a2qd:12:abcdefgh:"), &watch));
    cr_expect_not(redis_watch_read(SPAN_LITERAL("Y:k3f9a2qd:12:118:"), &watch));
    cr_assert(redis_watch_answer_read(SPAN_LITERAL("A:12:abcdefgh:118"), &number, &epoch, &acked));
    cr_expect_eq(number, 12);
    cr_expect_eq(acked, 118);
    cr_expect_not(redis_watch_answer_read(SPAN_LITERAL("A:12:118"), &number, &epoch, &acked));
    cr_expect_not(redis_watch_answer_read(SPAN_LITERAL("A"), &number, &epoch, &acked));
}
