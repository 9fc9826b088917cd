/* Event streams, and answers to requests that are held back until it is known that the user is not
 * blocked (CONTRACT 2). */
#include "gateway/base/metrics.h"
#include "gateway/delivery/delivery.h"
#include "gateway/session/session_close.h"
#include "gateway/session/session_life.h"
#include "tests/support/node_fixture.h"
#include "tests/support/store_double.h"
#include "tests/support/subscriber.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct subscriber subscriber;

/* The store double answers no page at once. */
static void set_up(void)
{
    node_fixture_start();
    store_double_start();
}

TestSuite(session_stream, .init = set_up, .fini = node_fixture_stop);

/* Its first page is asked for, and has not come. */
static void begin(struct admission admission)
{
    admission.claim.is_known = true;
    subscriber_open(&subscriber, admission);
    cr_assert_eq(delivery_enter(subscriber.session, SPAN_LITERAL("u"), SPAN_NONE), ERR_OK);
    reactor_turn(fixture.worker->reactor, 0);
}

static void begin_stream(void)
{
    begin((struct admission){.level = LEVEL_SSE});
}

static const char *open_stream(void)
{
    begin_stream();
    node_fixture_turn();
    return subscriber_text(&subscriber);
}

static void expect_text(const char *text, const char *part)
{
    cr_expect_not_null(strstr(text, part), "%s is not in: %s", part, text);
}

static void expect_start(const char *text, const char *start)
{
    cr_expect_eq(strncmp(text, start, strlen(start)), 0, "%s", text);
}

/* ---- the answer that is held back ---- */

Test(session_stream, is_answered_when_its_first_page_has_come)
{
    begin_stream();
    cr_expect_eq(subscriber_receive(&subscriber), 0);
    node_fixture_turn();
    const char *text = subscriber_text(&subscriber);
    expect_start(text, "HTTP/1.1 200 OK\r\n");
    expect_text(text, "\r\nContent-Type: text/event-stream");
    expect_text(text, "\r\n\r\nretry: ");
    cr_expect_null(subscriber.session->extra->answer.text);
}

Test(session_stream, may_be_read_by_the_page_that_asked)
{
    begin((struct admission){.level = LEVEL_SSE, .origin = SPAN_LITERAL("https://a.example")});
    node_fixture_turn();
    expect_text(subscriber_text(&subscriber),
                "\r\nAccess-Control-Allow-Origin: https://a.example\r\n");
}

/* Only a status makes an EventSource stay away, and only while none was sent. */
Test(session_stream, of_a_user_who_is_blocked_or_kicked_meanwhile_is_a_204)
{
    static const enum err errors[] = {ERR_BLOCKED, ERR_KICKED};
    for (int i = 0; i < 2; i++) {
        begin_stream();
        session_close(subscriber.session, errors[i]);
        node_fixture_turn();
        const char *text = subscriber_text(&subscriber);
        expect_start(text, "HTTP/1.1 204 ");
        cr_expect_null(strstr(text, "retry:"));
        cr_expect(subscriber_has_ended(&subscriber));
        subscriber_hang_up(&subscriber);
        node_fixture_turn();
    }
}

Test(session_stream, that_ends_for_a_while_before_its_answer_says_when_to_come_again)
{
    begin_stream();
    session_close_with(subscriber.session, ERR_RESTART, SPAN_NONE, 1234);
    node_fixture_turn();
    const char *text = subscriber_text(&subscriber);
    expect_start(text, "HTTP/1.1 200 OK\r\n");
    expect_text(text, "\r\n\r\nretry: 1234\n");
    cr_expect(subscriber_has_ended(&subscriber));
}

static void begin_websocket(void)
{
    begin((struct admission){.level = LEVEL_PLAIN});
    cr_assert_eq(subscriber_receive(&subscriber), 0);
}

Test(session_stream, is_not_the_only_answer_that_waits_a_websocket_without_a_page_does_too)
{
    begin_websocket();
    node_fixture_turn();
    expect_start(subscriber_text(&subscriber), "HTTP/1.1 101 ");
    subscriber_hang_up(&subscriber);
    node_fixture_turn();
    begin_websocket();
    session_close(subscriber.session, ERR_BLOCKED);
    node_fixture_turn();
    expect_start(subscriber_text(&subscriber), "HTTP/1.1 403 ");
    cr_expect(subscriber_has_ended(&subscriber));
}

/* There is no status for these, so it is upgraded and closed. */
Test(session_stream, held_or_not_a_websocket_ends_with_its_close_code)
{
    begin_websocket();
    session_close(subscriber.session, ERR_REPLACED);
    node_fixture_turn();
    subscriber_receive(&subscriber);
    expect_start((const char *)subscriber.bytes, "HTTP/1.1 101 ");
    const uint8_t *close = subscriber.bytes + subscriber.len - 12;
    cr_expect_eq(memcmp(close, "\x88\x0a\x11\x9creplaced", 12), 0);
}

/* ---- the end of a stream that is open ---- */

/* A day: the client's own timer holds it back, as 4503 and 4508 do a WebSocket. */
Test(session_stream, of_a_client_that_must_not_come_back_ends_with_a_long_time_to_wait)
{
    static const enum err errors[] = {ERR_BLOCKED, ERR_KICKED, ERR_REPLACED};
    for (int i = 0; i < 3; i++) {
        open_stream();
        session_close(subscriber.session, errors[i]);
        node_fixture_turn();
        cr_expect_str_eq(subscriber_text(&subscriber), "retry: 86400000\n");
        cr_expect(subscriber_has_ended(&subscriber));
        subscriber_hang_up(&subscriber);
        node_fixture_turn();
    }
}

Test(session_stream, of_a_node_that_restarts_ends_with_a_time_to_wait)
{
    open_stream();
    session_close_with(subscriber.session, ERR_RESTART, SPAN_NONE, 777);
    node_fixture_turn();
    cr_expect_str_eq(subscriber_text(&subscriber), "retry: 777\n");
    cr_expect(subscriber_has_ended(&subscriber));
}

/* ---- acknowledgements by TCP ---- */

Test(session_stream, is_acknowledged_when_the_clients_tcp_has_taken_what_was_written)
{
    open_stream();
    node_fixture_push("u", "1", 60);
    node_fixture_wait_ms(2000);
    cr_expect_eq(subscriber.session->acked, 0, "nothing was read");
    expect_text(subscriber_text(&subscriber), "data: 1\n\n");
    node_fixture_wait_ms(1000); /* it looks at least once a second */
    cr_expect_eq(subscriber.session->acked, 1);
}

Test(session_stream, with_ack_explicit_is_not_acknowledged_by_tcp)
{
    begin((struct admission){.level = LEVEL_SSE, .is_explicit = true});
    node_fixture_push("u", "1", 60);
    subscriber_text(&subscriber);
    node_fixture_wait_ms(3000);
    cr_expect_eq(subscriber.session->acked, 0);
}

/* ---- time ---- */

Test(session_stream, that_is_idle_gets_a_comment_every_15_seconds)
{
    unsigned n = 0;
    open_stream();
    for (int i = 0; i < 60; i++) {
        node_fixture_wait_ms(1000);
        const char *text = subscriber_text(&subscriber);
        if (text[0] == '\0')
            continue;
        expect_start(text, ":");
        n++;
    }
    cr_expect_geq(n, 4);
    cr_expect_leq(n, 5);
}

Test(session_stream, of_a_client_that_reads_nothing_ends_after_slow_timeout)
{
    int64_t before = metrics_read(METRIC_CLOSED_SLOW);
    fixture.options.slow_timeout = 5000;
    open_stream();
    node_fixture_push("u", "1", 60);
    node_fixture_wait_ms(4900);
    cr_expect_eq(metrics_read(METRIC_CLOSED_SLOW), before);
    /* A comment comes within the first 10 s, and a unix socket takes it for the client. */
    node_fixture_wait_ms(11000);
    cr_expect_eq(metrics_read(METRIC_CLOSED_SLOW), before + 1);
}

/* There is nothing to say on an event stream. */
Test(session_stream, ignores_what_its_client_sends)
{
    open_stream();
    subscriber_send_raw(&subscriber, "GET / HTTP/1.1\r\n\r\n", 18);
    node_fixture_turn();
    cr_expect_eq(subscriber_receive(&subscriber), 0);
    cr_expect_not(subscriber_has_ended(&subscriber));
}
