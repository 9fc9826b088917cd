/* herald.v1: the messages of the client and the server (CONTRACT 2). */
#include "gateway/base/metrics.h"
#include "gateway/session/session_close.h"
#include "gateway/session/session_leaving.h"
#include "gateway/session/session_life.h"
#include "gateway/session/session_say.h"
#include "gateway/session/session_write.h"
#include "tests/support/node_fixture.h"
#include "tests/support/subscriber.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct subscriber subscriber;

TestSuite(session_v1, .init = node_fixture_start, .fini = node_fixture_stop);

static void enter(void)
{
    subscriber_enter(&subscriber, LEVEL_V1, "u", NULL);
    subscriber_expect_start(&subscriber, "{\"type\":\"hello\"");
}

static struct epoch epoch_of_user(void)
{
    return subscriber.session->client->epoch;
}

static void say_ack(struct epoch epoch, unsigned seq)
{
    char text[100];
    snprintf(text, sizeof text, "{\"type\":\"ack\",\"id\":\"%.*s-%u\"}", (int)sizeof epoch.text,
             epoch.text, seq);
    subscriber_say(&subscriber, text);
}

static void push_and_read(const char *data)
{
    node_fixture_push("u", data, 60);
    subscriber_expect_start(&subscriber, "{\"type\":\"notification\"");
}

/* ---- what it says ---- */

Test(session_v1, is_acknowledged_by_an_ack_message_and_by_no_pong)
{
    enter();
    push_and_read("1");
    push_and_read("2");
    node_fixture_wait_ms(fixture.options.ping_interval);
    subscriber_expect(&subscriber, WS_PING, "2");
    subscriber_send(&subscriber, WS_PONG, SPAN_LITERAL("2"));
    node_fixture_turn();
    cr_expect_eq(subscriber.session->acked, 0);
    say_ack(epoch_of_user(), 1);
    cr_expect_eq(subscriber.session->acked, 1);
    subscriber_expect_nothing(&subscriber);
}

Test(session_v1, gets_an_error_for_an_ack_that_cannot_be)
{
    int64_t before = metrics_read(METRIC_BAD_ACKS);
    enter();
    push_and_read("1");
    say_ack(epoch_of_user(), 2);
    subscriber_expect_start(&subscriber, "{\"type\":\"error\",\"code\":\"bad-ack\"");
    say_ack((struct epoch){"elsewhen"}, 1);
    subscriber_expect_start(&subscriber, "{\"type\":\"error\",\"code\":\"bad-ack\"");
    cr_expect_eq(subscriber.session->acked, 0);
    cr_expect_eq(metrics_read(METRIC_BAD_ACKS), before + 2);
}

Test(session_v1, gets_an_answer_to_each_message_that_asks_for_one)
{
    enter();
    subscriber_say(&subscriber, "{\"type\":\"ping\"}");
    subscriber_expect_start(&subscriber, "{\"type\":\"pong\"}");
    subscriber_say(&subscriber, "{\"type\":\"message\",\"id\":\"m-1\",\"data\":{}}");
    subscriber_expect_start(&subscriber,
                            "{\"type\":\"error\",\"code\":\"not-taken\",\"id\":\"m-1\"");
    subscriber_say(&subscriber, "[]");
    subscriber_expect_start(&subscriber, "{\"type\":\"error\",");
    subscriber_say(&subscriber, "{\"type\":\"of a later version\"}");
    subscriber_expect_nothing(&subscriber);
}

Test(session_v1, reads_a_message_that_comes_in_pieces)
{
    static const char *const pieces[] = {"{\"type\":", "\"pi", "ng\"}"};
    enter();
    for (int i = 0; i < 3; i++) {
        uint8_t frame[32] = {(uint8_t)((i == 2 ? 0x80 : 0) | (i == 0 ? WS_TEXT : 0)),
                             (uint8_t)(0x80 | strlen(pieces[i]))};
        memcpy(frame + 6, pieces[i], strlen(pieces[i]));
        subscriber_expect_nothing(&subscriber);
        subscriber_send_raw(&subscriber, frame, 6 + strlen(pieces[i]));
        node_fixture_turn();
    }
    subscriber_expect_start(&subscriber, "{\"type\":\"pong\"}");
}

/* ---- the messages of the server ---- */

/* CONTRACT 5.10 */
Test(session_v1, gets_when_a_drain_will_close_it_and_that_this_is_taken_back)
{
    enter();
    atomic_store(&fixture.node.drain_ends_ms, node_fixture_now_ms() + 5000);
    session_drain(subscriber.session);
    node_fixture_turn();
    uint32_t left_ms = subscriber.session->drain_at_ms - (uint32_t)node_fixture_now_ms();
    char goaway[100];
    snprintf(goaway, sizeof goaway, "{\"type\":\"goaway\",\"reconnectAfterMs\":%u,", left_ms);
    subscriber_expect_start(&subscriber, goaway);
    session_drain_in(subscriber.session, 7000);
    node_fixture_turn();
    subscriber_expect(&subscriber, WS_TEXT,
                      "{\"type\":\"goaway\",\"reconnectAfterMs\":7000,\"reason\":\"drain\"}");
    session_stay(subscriber.session);
    session_stay(subscriber.session);
    node_fixture_turn();
    subscriber_expect(&subscriber, WS_TEXT, "{\"type\":\"stay\"}");
    subscriber_expect_nothing(&subscriber);
}

Test(session_v1, gets_a_cancel_for_what_was_withdrawn_unless_it_has_acknowledged_it)
{
    enter();
    push_and_read("1");
    push_and_read("2");
    say_ack(epoch_of_user(), 1);
    cr_assert_eq(session_withdraw(subscriber.session, 1, 2, GAP_CANCELLED), ERR_OK);
    node_fixture_turn();
    char cancel[100];
    snprintf(cancel, sizeof cancel, "{\"type\":\"cancel\",\"id\":\"%.*s-2\"}",
             (int)sizeof(struct epoch), epoch_of_user().text);
    subscriber_expect_start(&subscriber, cancel);
    subscriber_expect_nothing(&subscriber);
}

/* The backlog begins where the connection has 32 KiB. */
static void fill_connection(void)
{
    static char data[40002];
    subscriber_fill_socket(subscriber.session);
    memset(data, '1', sizeof data - 1);
    node_fixture_push("u", data, 60);
}

/* CONTRACT 5.3: what waits in memory can still expire, and leaves a gap. */
Test(session_v1, gets_a_gap_for_what_expired_in_the_backlog)
{
    int64_t before = metrics_read(METRIC_UNSENT_EXPIRED);
    fixture.options.silence_timeout = 3600000;
    enter();
    fill_connection();
    node_fixture_push("u", "\"short\"", 5);
    node_fixture_push("u", "\"stays\"", 60);
    node_fixture_wait_ms(6000);
    const char *text = subscriber_read_all(&subscriber);
    cr_expect_null(strstr(text, "\"short\""));
    cr_expect_not_null(strstr(text, "\"from\":2,\"to\":2,\"cause\":\"expired\""));
    cr_expect_not_null(strstr(text, "\"stays\""));
    cr_expect_eq(metrics_read(METRIC_UNSENT_EXPIRED), before + 1);
    cr_expect_eq(session_sent(subscriber.session), 3);
}

Test(session_v1, gets_a_gap_for_what_was_withdrawn_in_the_backlog)
{
    int64_t before = metrics_read(METRIC_UNSENT_WITHDRAWN);
    enter();
    fill_connection();
    node_fixture_push("u", "\"withdrawn\"", 60);
    cr_assert_eq(session_withdraw(subscriber.session, 2, 2, GAP_CANCELLED), ERR_OK);
    const char *text = subscriber_read_all(&subscriber);
    cr_expect_null(strstr(text, "\"withdrawn\""));
    cr_expect_not_null(strstr(text, "\"from\":2,\"to\":2,\"cause\":\"cancelled\""));
    cr_expect_eq(metrics_read(METRIC_UNSENT_WITHDRAWN), before + 1);
}

Test(session_v1, gets_a_cancel_for_what_was_withdrawn_when_it_reads_again)
{
    char cancel[100];
    enter();
    push_and_read("1");
    push_and_read("2");
    fill_connection();
    cr_assert_eq(session_withdraw(subscriber.session, 1, 2, GAP_CANCELLED), ERR_OK);
    const char *text = subscriber_read_all(&subscriber);
    for (unsigned seq = 1; seq <= 2; seq++) {
        snprintf(cancel, sizeof cancel, "{\"type\":\"cancel\",\"id\":\"%.*s-%u\"}",
                 (int)sizeof(struct epoch), epoch_of_user().text, seq);
        text = strstr(text, cancel);
        cr_assert_not_null(text, "%s", cancel);
    }
}

Test(session_v1, gets_gaps_for_numbers_that_will_not_come_in_the_order_of_all_numbers)
{
    enter();
    push_and_read("1");
    fill_connection();
    cr_assert_eq(session_gap(subscriber.session, &(struct gap){3, 4, GAP_OVERFLOW}), ERR_OK);
    cr_expect_eq(reader_tail(&subscriber.session->reader), 4);
    cr_expect_eq(session_sent(subscriber.session), 2, "it waits after what waits already");
    cr_expect_not_null(
        strstr(subscriber_read_all(&subscriber), "\"from\":3,\"to\":4,\"cause\":\"overflow\""));
    cr_expect_eq(session_sent(subscriber.session), 4);
    cr_assert_eq(session_gap(subscriber.session, &(struct gap){5, 6, GAP_EXPIRED}), ERR_OK);
    cr_expect_eq(session_sent(subscriber.session), 6);
    node_fixture_turn();
    cr_expect_not_null(
        strstr(subscriber_read_all(&subscriber), "\"from\":5,\"to\":6,\"cause\":\"expired\""));
}

/* CONTRACT 5.4: another epoch has begun, so the numbers that the client has mean nothing. */
Test(session_v1, of_an_epoch_that_is_over_gets_a_reset_and_is_closed)
{
    enter();
    push_and_read("1");
    session_resync_all(subscriber.session->client);
    node_fixture_turn();
    subscriber_expect_start(&subscriber, "{\"type\":\"gap\"");
    subscriber_expect_close(&subscriber, 4004);
}
