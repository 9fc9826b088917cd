/* The life of a session: its states, its pings, its deadlines and its end, over a socketpair on a
 * node whose clock stands still (tests/support/node_fixture.h). */
#include "gateway/base/metrics.h"
#include "gateway/session/session_close.h"
#include "gateway/session/session_life.h"
#include "gateway/session/session_say.h"
#include "gateway/session/session_write.h"
#include "tests/support/node_fixture.h"
#include "tests/support/subscriber.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static struct subscriber subscriber;

TestSuite(session, .init = node_fixture_start, .fini = node_fixture_stop);

static void enter_plain(void)
{
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
}

/* ---- states ---- */

Test(session, is_live_once_its_first_page_has_come_and_gets_what_is_pushed)
{
    enter_plain();
    cr_assert_eq(subscriber.session->state, SESSION_ENTERED);
    cr_assert(reader_is_live(&subscriber.session->reader));
    node_fixture_push("u", "{\"a\":1}", 60);
    subscriber_expect(&subscriber, WS_TEXT, "{\"a\":1}");
    subscriber_expect(&subscriber, WS_PING, "1");
    subscriber_expect_nothing(&subscriber);
}

Test(session, cannot_be_opened_again_once_it_is_closing, .signal = SIGABRT)
{
    enter_plain();
    session_close(subscriber.session, ERR_KICKED);
    session_become(subscriber.session, SESSION_ENTERED);
}

Test(session, cannot_wait_for_a_token_once_it_has_a_client, .signal = SIGABRT)
{
    enter_plain();
    session_become(subscriber.session, SESSION_AUTH);
}

/* One of a million idle connections is no more than its struct (CONTRACT 1). */
Test(session, keeps_no_extra_memory_once_a_plain_client_is_live)
{
    enter_plain();
    cr_expect_null(subscriber.session->extra);
}

/* A text frame, masked with zeros: the first piece of a message, or the last. */
static void send_piece(bool is_last, const char *text)
{
    uint8_t frame[6 + 16] = {is_last ? 0x80 : WS_TEXT, (uint8_t)(0x80 | strlen(text))};
    memcpy(frame + 6, text, strlen(text));
    subscriber_send_raw(&subscriber, frame, 6 + strlen(text));
    node_fixture_turn();
}

Test(session, has_extra_memory_as_long_as_a_message_is_under_way)
{
    static const enum handshake_level levels[] = {LEVEL_PLAIN, LEVEL_V1};
    for (int i = 0; i < 2; i++) {
        subscriber_enter(&subscriber, levels[i], "u", NULL);
        send_piece(false, "{\"type\":");
        cr_assert_not_null(subscriber.session->extra);
        cr_expect(subscriber.session->is_unfinished);
        send_piece(true, "\"ping\"}");
        cr_expect_null(subscriber.session->extra);
        cr_expect_not(subscriber.session->is_unfinished);
        if (levels[i] == LEVEL_V1) {
            subscriber_expect_start(&subscriber, "{\"type\":\"hello\"");
            subscriber_expect_start(&subscriber, "{\"type\":\"pong\"");
        }
    }
}

/* ---- closing ---- */

static const struct {
    enum err error;
    unsigned code;
    const char *reason;
    enum metric metric;
} ends[] = {
    {ERR_RESTART, 1012, "restart", METRIC_CLOSED_RESTART},
    {ERR_PROTOCOL, 1002, "protocol error", METRIC_CLOSED_PROTOCOL},
    {ERR_SLOW, 4000, "slow", METRIC_CLOSED_SLOW},
    {ERR_SILENT, 4003, "silent", METRIC_CLOSED_SILENT},
    {ERR_RESYNC, 4004, "resync", METRIC_CLOSED_RESYNC},
    {ERR_RATE, 4005, "too much at once", METRIC_CLOSED_RATE},
    {ERR_EXPIRED, 4100, "the token has expired", METRIC_CLOSED_AUTH},
    {ERR_KICKED, 4503, "kicked", METRIC_CLOSED_KICKED},
    {ERR_BLOCKED, 4503, "blocked", METRIC_CLOSED_BLOCKED},
    {ERR_REPLACED, 4508, "replaced", METRIC_CLOSED_REPLACED},
    {ERR_NO_MEMORY, 1013, "out of memory", METRIC_CLOSED_MEMORY},
};

/* CONTRACT 2: the close codes. */
Test(session, says_in_its_close_frame_why_it_ends_and_counts_it)
{
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        int64_t before = metrics_read(ends[i].metric);
        enter_plain();
        session_close(subscriber.session, ends[i].error);
        node_fixture_turn();
        struct span reason = subscriber_expect_close(&subscriber, ends[i].code);
        cr_expect(span_equal(reason, span_of(ends[i].reason)), "%s", reason.bytes);
        cr_expect_eq(metrics_read(ends[i].metric), before + 1, "%s", ends[i].reason);
        subscriber_hang_up(&subscriber);
        node_fixture_turn();
    }
}

Test(session, names_another_reason_and_a_time_to_wait)
{
    enter_plain();
    session_close_with(subscriber.session, ERR_RATE, SPAN_LITERAL("rate"), 1234);
    node_fixture_turn();
    struct span reason = subscriber_expect_close(&subscriber, 4005);
    cr_expect(span_equal(reason, SPAN_LITERAL("rate retry_ms=1234")), "%s", reason.bytes);
}

Test(session, is_closed_once_whatever_ends_it_afterwards)
{
    enter_plain();
    session_close(subscriber.session, ERR_KICKED);
    session_close(subscriber.session, ERR_SLOW);
    node_fixture_turn();
    subscriber_expect_close(&subscriber, 4503);
    subscriber_expect_nothing(&subscriber);
}

/* CONTRACT 2: once a close frame is sent, the session counts no more. */
Test(session, counts_no_more_from_its_close_frame_on_but_keeps_its_socket_for_two_seconds)
{
    enter_plain();
    session_close(subscriber.session, ERR_KICKED);
    cr_expect_eq(fixture.node.n_sessions, 0);
    cr_expect_eq(client_map_users(fixture.node.map), 0);
    node_fixture_turn();
    subscriber_expect_close(&subscriber, 4503);
    node_fixture_wait_ms(1900);
    cr_expect_not(subscriber_has_ended(&subscriber));
    cr_expect_eq(fixture.node.n_sockets, 1);
    node_fixture_wait_ms(200);
    cr_expect(subscriber_has_ended(&subscriber));
    cr_expect_eq(fixture.node.n_sockets, 0);
}

Test(session, closes_its_socket_when_the_answer_to_its_close_frame_has_come)
{
    enter_plain();
    session_close(subscriber.session, ERR_KICKED);
    node_fixture_turn();
    subscriber_expect_close(&subscriber, 4503);
    subscriber_send(&subscriber, WS_CLOSE, SPAN_LITERAL("\x11\x97"));
    node_fixture_turn();
    cr_expect(subscriber_has_ended(&subscriber));
}

Test(session, answers_a_close_frame_with_its_code_and_closes)
{
    int64_t before = metrics_read(METRIC_CLOSED_CLIENT);
    enter_plain();
    subscriber_send(&subscriber, WS_CLOSE,
                    SPAN_LITERAL("\x03\xe9"
                                 "bye"));
    node_fixture_turn();
    cr_expect_eq(subscriber_expect_close(&subscriber, 1001).len, 0);
    cr_expect(subscriber_has_ended(&subscriber));
    cr_expect_eq(metrics_read(METRIC_CLOSED_CLIENT), before + 1);
}

Test(session, that_loses_its_connection_was_dropped)
{
    int64_t before = metrics_read(METRIC_CLOSED_DROPPED);
    enter_plain();
    subscriber_hang_up(&subscriber);
    node_fixture_turn();
    cr_expect_eq(metrics_read(METRIC_CLOSED_DROPPED), before + 1);
    cr_expect_eq(fixture.node.n_sockets, 0);
}

/* RFC 6455, 5.5.1: nothing follows a close frame. */
Test(session, says_nothing_after_its_close_frame)
{
    enter_plain();
    session_close(subscriber.session, ERR_KICKED);
    subscriber_send(&subscriber, WS_PING, SPAN_LITERAL("still there?"));
    node_fixture_turn();
    subscriber_expect_close(&subscriber, 4503);
    subscriber_expect_nothing(&subscriber);
}

Test(session, that_is_detached_sends_nothing_and_leaves_its_socket_open)
{
    uint8_t *rest;
    size_t n_rest;
    enter_plain();
    struct transport_socket socket = conn_release(&subscriber.session->conn, &rest, &n_rest);
    session_detach(subscriber.session);
    node_fixture_turn();
    cr_expect_eq(fixture.node.n_sessions, 0);
    cr_expect_eq(fixture.node.n_sockets, 0);
    cr_expect_not(subscriber_has_ended(&subscriber));
    subscriber_expect_nothing(&subscriber);
    transport_close(socket);
    free(rest);
}

/* ---- what a client may not send ---- */

Test(session, refuses_what_breaks_the_protocol_with_its_code)
{
    static const struct {
        uint8_t bytes[8];
        size_t len;
        unsigned code;
    } rows[] = {
        {{0x82, 0x81, 0, 0, 0, 0, 'x'}, 7, 1003},        /* binary */
        {{0x81, 0x01, 'x'}, 3, 1002},                    /* not masked (5.1) */
        {{0xc1, 0x81, 0, 0, 0, 0, 'x'}, 7, 1002},        /* RSV1, but nothing was agreed */
        {{0x81, 0x81, 0, 0, 0, 0, 0xff}, 7, 1007},       /* not UTF-8 (8.1) */
        {{0x88, 0x82, 0, 0, 0, 0, 0x03, 0xed}, 8, 1002}, /* 1005 is never sent (7.4.1) */
        {{0x81, 0xff, 0, 0, 0, 0, 0, 1}, 8, 0},          /* half a header: more may come */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        enter_plain();
        subscriber_send_raw(&subscriber, rows[i].bytes, rows[i].len);
        node_fixture_turn();
        if (rows[i].code != 0)
            subscriber_expect_close(&subscriber, rows[i].code);
        else
            subscriber_expect_nothing(&subscriber);
        subscriber_hang_up(&subscriber);
        node_fixture_turn();
    }
}

Test(session, counts_and_drops_the_messages_of_a_plain_client)
{
    int64_t before = metrics_read(METRIC_CLIENT_MESSAGES);
    enter_plain();
    subscriber_say(&subscriber, "hello?");
    subscriber_expect_nothing(&subscriber);
    cr_expect_eq(metrics_read(METRIC_CLIENT_MESSAGES), before + 1);
}

Test(session, closes_a_client_that_sends_more_messages_than_it_may)
{
    fixture.options.max_messages_per_second = 2; /* a burst of two seconds is taken */
    enter_plain();
    for (int i = 0; i < 4; i++)
        subscriber_say(&subscriber, "m");
    subscriber_expect_nothing(&subscriber);
    subscriber_say(&subscriber, "m");
    struct span reason = subscriber_expect_close(&subscriber, 4005);
    cr_expect_eq(memcmp(reason.bytes, "rate retry_ms=", 14), 0, "%s", reason.bytes);
}

/* ---- pings and pongs ---- */

Test(session, answers_a_ping_with_its_payload)
{
    enter_plain();
    subscriber_send(&subscriber, WS_PING, SPAN_LITERAL("abc"));
    node_fixture_turn();
    subscriber_expect(&subscriber, WS_PONG, "abc");
}

/* CONTRACT 5.6: the pong that brings a ping's number acknowledges all that was written before. */
Test(session, of_a_plain_client_is_acknowledged_by_the_pong_with_the_pings_number)
{
    enter_plain();
    node_fixture_push("u", "1", 60);
    node_fixture_push("u", "2", 60);
    subscriber_expect(&subscriber, WS_TEXT, "1");
    subscriber_expect(&subscriber, WS_PING, "1");
    subscriber_expect(&subscriber, WS_TEXT, "2");
    subscriber_expect_nothing(&subscriber); /* one ping is under way */
    subscriber_send(&subscriber, WS_PONG, SPAN_LITERAL("1"));
    node_fixture_turn();
    cr_expect_eq(subscriber.session->acked, 1);
    subscriber_expect(&subscriber, WS_PING, "2"); /* for what was written meanwhile */
    subscriber_send(&subscriber, WS_PONG, SPAN_LITERAL("2"));
    node_fixture_turn();
    cr_expect_eq(subscriber.session->acked, 2);
}

Test(session, is_not_acknowledged_by_a_pong_without_the_number_of_a_ping)
{
    static const char *const payloads[] = {"", "7", "1x", "99999999999999999999999", "0"};
    int64_t before = metrics_read(METRIC_PONGS_UNMATCHED);
    enter_plain();
    node_fixture_push("u", "1", 60);
    for (size_t i = 0; i < sizeof payloads / sizeof payloads[0]; i++)
        subscriber_send(&subscriber, WS_PONG, span_of(payloads[i]));
    node_fixture_turn();
    cr_expect_eq(subscriber.session->acked, 0);
    cr_expect_eq(metrics_read(METRIC_PONGS_UNMATCHED), before + 5);
}

Test(session, measures_its_round_trip_from_a_ping_to_its_pong)
{
    enter_plain();
    cr_expect_eq(subscriber.session->round_trip_ms, UINT16_MAX);
    node_fixture_push("u", "1", 60);
    node_fixture_wait_ms(120);
    subscriber_send(&subscriber, WS_PONG, SPAN_LITERAL("1"));
    node_fixture_turn();
    cr_expect_eq(subscriber.session->round_trip_ms, 120);
}

/* ---- deadlines ---- */

Test(session, pings_an_idle_client_in_each_interval_while_it_answers)
{
    unsigned n_pings = 0;
    enter_plain();
    for (int i = 0; i < 600; i++) { /* a minute, at one ping each 10 s */
        struct subscriber_frame frame;
        node_fixture_wait_ms(100);
        while (subscriber_next(&subscriber, &frame)) {
            cr_assert_eq(frame.opcode, WS_PING);
            n_pings++;
            subscriber_send(&subscriber, WS_PONG, frame.payload);
        }
    }
    cr_expect_geq(n_pings, 5);
    cr_expect_leq(n_pings, 6);
}

/* CONTRACT 5.8: 4003 after --silence-timeout without a sign of life, and not before. */
Test(session, ends_a_client_that_gives_no_sign_of_life)
{
    struct subscriber_frame frame;
    enter_plain();
    node_fixture_wait_ms(fixture.options.silence_timeout - 500);
    while (subscriber_next(&subscriber, &frame))
        cr_assert_eq(frame.opcode, WS_PING);
    node_fixture_wait_ms(fixture.options.silence_timeout / 2 + 1000);
    subscriber_expect_close(&subscriber, 4003);
}

Test(session, ends_a_client_that_takes_no_bytes)
{
    int64_t before = metrics_read(METRIC_CLOSED_SLOW);
    fixture.options.ping_interval = 100; /* at each it is looked at */
    fixture.options.silence_timeout = 3600000;
    fixture.options.slow_timeout = 5000;
    enter_plain();
    subscriber_fill_socket(subscriber.session);
    node_fixture_push("u", "1", 60);
    node_fixture_wait_ms(4900);
    cr_expect_eq(metrics_read(METRIC_CLOSED_SLOW), before);
    node_fixture_wait_ms(300);
    cr_expect_eq(metrics_read(METRIC_CLOSED_SLOW), before + 1);
}

Test(session, ends_a_client_that_does_not_end_the_message_that_it_has_begun)
{
    static const uint8_t half[] = {0x01, 0x81, 0, 0, 0, 0, 'x'}; /* no FIN */
    fixture.options.silence_timeout = 3600000;
    fixture.options.ping_interval = 3600000;
    fixture.options.slow_timeout = 5000;
    enter_plain();
    subscriber_send_raw(&subscriber, half, sizeof half);
    node_fixture_wait_ms(4900);
    subscriber_expect_nothing(&subscriber);
    node_fixture_wait_ms(300);
    struct span reason = subscriber_expect_close(&subscriber, 4000);
    cr_expect(span_equal(reason, SPAN_LITERAL("slow message")), "%s", reason.bytes);
}

/* ---- when its memory is full ---- */

Test(session, takes_no_notification_and_no_answer_beyond_session_max_bytes)
{
    int64_t before = metrics_read(METRIC_ANSWERS_SKIPPED);
    fixture.options.session_max_bytes = 4096;
    fixture.options.silence_timeout = 3600000;
    enter_plain();
    subscriber_fill_socket(subscriber.session);
    char data[1100];
    snprintf(data, sizeof data, "\"%01000d\"", 0);
    for (int i = 0; i < 8; i++)
        node_fixture_push("u", data, 60);
    cr_expect_leq(session_queued_bytes(subscriber.session), 4096);
    cr_expect_eq(subscriber.session->reader.state, READER_DRAINING, "the inbox has the rest");
    for (int i = 0; i < 20; i++)
        subscriber_send(&subscriber, WS_PING,
                        SPAN_LITERAL("0123456789012345678901234567890123456789"
                                     "0123456789012345678901234567890123456"));
    node_fixture_turn();
    cr_expect_leq(session_queued_bytes(subscriber.session), 4096);
    cr_expect_gt(metrics_read(METRIC_ANSWERS_SKIPPED), before);
    while (subscriber_receive(&subscriber) > 0) { /* it reads again */
        subscriber.len = 0;
        node_fixture_turn();
    }
    cr_expect(reader_is_live(&subscriber.session->reader));
    cr_expect_eq(reader_tail(&subscriber.session->reader), 8);
}

/* ---- when the process stood still ---- */

/* CONTRACT 5.8: the clock alone proves no silence. It may be this process that did not run. */
Test(session, does_not_take_its_own_stall_for_the_silence_of_its_client)
{
    struct subscriber_frame frame;
    enter_plain();
    node_fixture_stall_ms(2 * fixture.options.silence_timeout);
    cr_assert(subscriber_next(&subscriber, &frame), "it asks first");
    cr_assert_eq(frame.opcode, WS_PING);
    node_fixture_wait_ms(fixture.options.silence_timeout / 4); /* a slow line */
    subscriber_send(&subscriber, WS_PONG, frame.payload);
    node_fixture_wait_ms(fixture.options.silence_timeout / 2 + 1000);
    cr_expect_eq(subscriber.session->state, SESSION_ENTERED);
}

Test(session, ends_a_client_that_does_not_answer_after_a_stall)
{
    struct subscriber_frame frame;
    enter_plain();
    node_fixture_stall_ms(2 * fixture.options.silence_timeout);
    node_fixture_wait_ms(fixture.options.silence_timeout / 2 + 1000);
    while (subscriber_next(&subscriber, &frame) && frame.opcode == WS_PING) {
    }
    cr_assert_eq(frame.opcode, WS_CLOSE);
    cr_expect_eq(memcmp(frame.payload.bytes, "\x0f\xa3silent", 8), 0);
}

Test(session, does_not_take_its_own_stall_for_a_slow_message)
{
    static const uint8_t half[] = {0x01, 0x81, 0, 0, 0, 0, 'x'};
    static const uint8_t rest[] = {0x80, 0x81, 0, 0, 0, 0, 'y'};
    fixture.options.silence_timeout = 3600000;
    fixture.options.ping_interval = 3600000;
    fixture.options.slow_timeout = 5000;
    enter_plain();
    subscriber_send_raw(&subscriber, half, sizeof half);
    node_fixture_turn();
    node_fixture_stall_ms(20000);
    subscriber_send_raw(&subscriber, rest, sizeof rest); /* read in the next turn */
    node_fixture_wait_ms(1000);
    subscriber_expect_nothing(&subscriber);
}

/* Clients that do not echo the payload are pinged all the same, and the pong to an earlier ping
 * still counts. */
Test(session, is_acknowledged_by_a_late_pong_to_the_ping_before_the_last)
{
    enter_plain();
    node_fixture_push("u", "1", 60);
    subscriber_send(&subscriber, WS_PONG, SPAN_NONE);
    node_fixture_turn();
    node_fixture_push("u", "2", 60);
    cr_assert_eq(subscriber.session->n_unmatched, 2);
    subscriber_send(&subscriber, WS_PONG, SPAN_LITERAL("1"));
    node_fixture_turn();
    cr_expect_eq(subscriber.session->acked, 1);
    subscriber_send(&subscriber, WS_PONG, SPAN_LITERAL("2"));
    node_fixture_turn();
    cr_expect_eq(subscriber.session->acked, 2);
}
