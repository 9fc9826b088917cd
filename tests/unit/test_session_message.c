/* What a client says to the backends: each message of a herald.v1 client is answered once, and of
 * what a plain client says that cannot be kept its close tells (EVENTS, Client messages). */
#include "gateway/base/metrics.h"
#include "gateway/node/client_message.h"
#include "gateway/session/session_close.h"
#include "gateway/session/session_unanswered.h"
#include "tests/support/node_fixture.h"
#include "tests/support/store_double.h"
#include "tests/support/subscriber.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

enum { TAKEN_MAX = 200, LONG_BYTES = 3000 };

/* In place of the event log: keeps what it is given until the test answers. */
static struct taken {
    struct client_message message;
    char text[LONG_BYTES + 400];
} taken[TAKEN_MAX];
static unsigned n_taken, n_answered;
static enum err refusal;
static struct subscriber subscriber;

static struct span keep_text(char **at, struct span text)
{
    struct span kept = {*at, text.len};
    memcpy(*at, text.len > 0 ? text.bytes : "", text.len);
    *at += text.len;
    return kept;
}

static enum err take(struct node *node, const struct client_message *message)
{
    cr_assert_eq(node, &fixture.node);
    if (refusal != ERR_OK)
        return refusal;
    cr_assert_lt(n_taken, TAKEN_MAX);
    struct taken *one = &taken[n_taken++];
    char *at = one->text;
    one->message = *message;
    one->message.said.user_id = keep_text(&at, message->said.user_id);
    one->message.said.client_id = keep_text(&at, message->said.client_id);
    one->message.said.device = keep_text(&at, message->said.device);
    one->message.said.data = keep_text(&at, message->said.data);
    return ERR_OK;
}

static void answer_next(enum err error)
{
    cr_assert_lt(n_answered, n_taken);
    const struct client_message *message = &taken[n_answered++].message;
    message->on_answer(message, error);
    node_fixture_turn();
}

static void start(void)
{
    node_fixture_start();
    fixture.node.take_message = take;
    fixture.node.takes_plain_messages = true;
    n_taken = n_answered = 0;
    refusal = ERR_OK;
}

static void stop(void)
{
    while (n_answered < n_taken)
        answer_next(ERR_STORE_UNAVAILABLE);
    cr_expect_eq(fixture.worker->n_unanswered, 0);
    node_fixture_stop();
}

TestSuite(session_message, .init = start, .fini = stop);

static void enter_v1(void)
{
    subscriber_enter(&subscriber, LEVEL_V1, "u", "tab");
    subscriber_expect_start(&subscriber, "{\"type\":\"hello\"");
}

static void say(unsigned number)
{
    char text[100];
    snprintf(text, sizeof text, "{\"type\":\"message\",\"id\":\"m-%u\",\"data\":%u}", number,
             number);
    subscriber_say(&subscriber, text);
}

static void expect_accepted(unsigned number)
{
    char text[100];
    snprintf(text, sizeof text, "{\"type\":\"accepted\",\"id\":\"m-%u\"}", number);
    subscriber_expect(&subscriber, WS_TEXT, text);
}

static void expect_error(const char *text, const char *code)
{
    char start_of[100];
    snprintf(start_of, sizeof start_of, "{\"type\":\"error\",\"code\":\"%s", code);
    subscriber_say(&subscriber, text);
    subscriber_expect_start(&subscriber, start_of);
}

/* ---- herald.v1 ---- */

/* A message may come with the handshake, before the store has shown whether the user is blocked. */
Test(session_message, says_of_its_user_that_nobody_has_looked_until_the_first_page_has_come)
{
    store_double_start();
    store_double_set_away(true);
    subscriber_enter(&subscriber, LEVEL_V1, "u", "tab");
    say(1);
    node_fixture_turn();
    cr_assert_eq(n_taken, 1);
    cr_expect(taken[0].message.may_be_blocked, "its page has failed");
    store_double_set_away(false);
    node_fixture_wait_ms(3000);
    subscriber_expect_start(&subscriber, "{\"type\":\"hello\"");
    say(2);
    node_fixture_turn();
    cr_expect(taken[1].message.may_be_blocked, "it would overtake the first");
    answer_next(ERR_OK);
    answer_next(ERR_OK);
    say(3);
    node_fixture_turn();
    cr_expect_not(taken[2].message.may_be_blocked);
    answer_next(ERR_OK);
    expect_accepted(1);
    expect_accepted(2);
    expect_accepted(3);
}

Test(session_message, closes_the_session_where_the_user_is_found_to_be_blocked)
{
    enter_v1();
    say(1);
    answer_next(ERR_FORBIDDEN);
    subscriber_expect_close(&subscriber, 4503);
}

Test(session_message, is_taken_byte_for_byte_and_accepted_when_it_is_kept)
{
    enter_v1();
    subscriber_say(&subscriber, "{\"id\":\"c-\\u0031\\\"7\",\"data\": {\"n\" : 9007199254740993 } "
                                ",\"type\":\"message\"}");
    cr_assert_eq(n_taken, 1);
    const struct event_message *said = &taken[0].message.said;
    cr_expect(span_equal(said->user_id, SPAN_LITERAL("u")));
    cr_expect_eq(said->connection, subscriber.session->id);
    cr_expect_str_eq(said->level, "herald.v1");
    cr_expect(span_equal(said->device, SPAN_LITERAL("tab")));
    cr_expect(span_equal(said->client_id, SPAN_LITERAL("c-\\u0031\\\"7")));
    cr_expect(span_equal(said->data, SPAN_LITERAL("{\"n\" : 9007199254740993 }")));
    subscriber_expect_nothing(&subscriber);
    answer_next(ERR_OK);
    subscriber_expect(&subscriber, WS_TEXT, "{\"type\":\"accepted\",\"id\":\"c-\\u0031\\\"7\"}");
    subscriber_expect_nothing(&subscriber);
}

Test(session_message, that_is_not_kept_is_answered_with_an_error)
{
    enter_v1();
    say(1);
    say(2);
    answer_next(ERR_FULL);
    subscriber_expect_start(&subscriber,
                            "{\"type\":\"error\",\"code\":\"store-unavailable\",\"id\":\"m-1\"");
    answer_next(ERR_STORE_UNAVAILABLE);
    subscriber_expect_start(&subscriber,
                            "{\"type\":\"error\",\"code\":\"store-unavailable\",\"id\":\"m-2\"");
    subscriber_expect_nothing(&subscriber);
}

Test(session_message, that_is_not_taken_is_refused_and_may_overtake)
{
    enter_v1();
    say(1);
    refusal = ERR_RATE;
    say(2);
    subscriber_expect_start(&subscriber, "{\"type\":\"error\",\"code\":\"rate\",\"id\":\"m-2\"");
    refusal = ERR_TOO_LARGE;
    say(3);
    subscriber_expect(&subscriber, WS_TEXT,
                      "{\"type\":\"error\",\"code\":\"too-large\",\"id\":\"m-3\",\"detail\":\"data "
                      "is longer than this server takes\",\"field\":\"data\"}");
    refusal = ERR_NO_MEMORY;
    say(4);
    subscriber_expect_start(&subscriber,
                            "{\"type\":\"error\",\"code\":\"store-unavailable\",\"id\":\"m-4\"");
    answer_next(ERR_OK);
    expect_accepted(1);
    cr_expect_eq(n_taken, 1);
}

Test(session_message, without_an_id_or_data_is_refused_by_the_name_of_the_field)
{
    enter_v1();
    expect_error("{\"type\":\"message\",\"data\":1}", "bad-message\",\"detail\":\"id ");
    expect_error("{\"type\":\"message\",\"id\":7,\"data\":1}", "bad-message\",\"detail\":\"id ");
    expect_error("{\"type\":\"message\",\"id\":\"\",\"data\":1}", "bad-message\",\"detail\":\"id ");
    expect_error("{\"type\":\"message\",\"id\":\"m-1\"}",
                 "bad-message\",\"id\":\"m-1\",\"detail\":\"data is missing\",\"field\":\"data");
    expect_error("{\"type\":\"message\",\"id\":\"m-1\",\"data\":1,\"data\":2}", "bad-json");
    cr_expect_eq(n_taken, 0);
}

Test(session_message, is_answered_to_the_session_that_said_it_or_to_nobody)
{
    struct subscriber *other = calloc(1, sizeof *other);
    enter_v1();
    subscriber_enter(other, LEVEL_V1, "u", NULL);
    subscriber_expect_start(other, "{\"type\":\"hello\"");
    say(1);
    say(2);
    answer_next(ERR_OK);
    expect_accepted(1);
    subscriber_hang_up(&subscriber);
    node_fixture_turn();
    cr_expect_eq(fixture.worker->n_unanswered, 1);
    answer_next(ERR_OK);
    subscriber_expect_nothing(other);
    free(other);
}

/* ---- too many without an answer ---- */

Test(session_message, is_not_read_while_64_have_no_answer)
{
    int64_t limited = metrics_read(METRIC_LIMITED_UNANSWERED);
    enter_v1();
    for (unsigned i = 0; i < 150; i++)
        say(i);
    cr_expect_eq(n_taken, SESSION_MAX_UNANSWERED);
    cr_expect_eq(metrics_read(METRIC_LIMITED_UNANSWERED), limited + 1);
    for (unsigned i = 0; i < SESSION_MAX_UNANSWERED / 2 - 1; i++)
        answer_next(ERR_OK);
    cr_expect_eq(n_taken, SESSION_MAX_UNANSWERED);
    answer_next(ERR_OK);
    node_fixture_wait_ms(100);
    cr_expect_eq(n_taken, SESSION_MAX_UNANSWERED + SESSION_MAX_UNANSWERED / 2);
    while (n_answered < n_taken) {
        answer_next(ERR_OK);
        node_fixture_wait_ms(20);
    }
    cr_expect_eq(n_taken, 150);
    for (unsigned i = 0; i < 150; i++)
        expect_accepted(i);
    subscriber_expect_nothing(&subscriber);
}

Test(session_message, that_waits_makes_nobody_silent_and_delays_no_notification)
{
    enter_v1();
    for (unsigned i = 0; i < 70; i++)
        say(i);
    node_fixture_push("u", "7", 60);
    subscriber_expect_start(&subscriber, "{\"type\":\"notification\"");
    node_fixture_wait_ms(3 * fixture.options.silence_timeout);
    cr_expect(session_is_open(subscriber.session));
    cr_expect_eq(n_taken, SESSION_MAX_UNANSWERED);
}

Test(session_message, of_a_session_that_closes_lets_its_last_bytes_be_read)
{
    enter_v1();
    for (unsigned i = 0; i < 70; i++)
        say(i);
    session_close(subscriber.session, ERR_KICKED);
    node_fixture_turn();
    subscriber_expect_close(&subscriber, 4503);
    subscriber_send(&subscriber, WS_CLOSE, SPAN_LITERAL("\x03\xe8"));
    node_fixture_wait_ms(500);
    cr_expect(subscriber_has_ended(&subscriber));
    cr_expect_eq(n_taken, SESSION_MAX_UNANSWERED);
}

/* Its answers would fill the memory. */
Test(session_message, is_not_read_while_its_client_does_not_read_answers)
{
    enter_v1();
    subscriber_fill_socket(subscriber.session);
    fixture.options.session_max_bytes = 2048;
    for (unsigned i = 0; i < 100; i++) {
        say(i);
        while (n_answered < n_taken)
            answer_next(ERR_OK);
    }
    cr_expect_lt(n_taken, 60);
    subscriber_read_all(&subscriber);
    node_fixture_wait_ms(500);
    while (n_answered < n_taken) {
        answer_next(ERR_OK);
        subscriber_read_all(&subscriber);
        node_fixture_wait_ms(20);
    }
    cr_expect_eq(n_taken, 100);
}

/* ---- an upgrade ---- */

Test(session_message, is_not_read_while_messages_are_held_and_read_afterwards)
{
    enter_v1();
    say(1);
    session_hold_all(fixture.worker);
    say(2);
    say(3);
    cr_expect_eq(n_taken, 1);
    answer_next(ERR_OK);
    expect_accepted(1);
    cr_expect_eq(n_taken, 1);
    cr_expect_eq(fixture.worker->n_unanswered, 0);
    session_read_on_all(fixture.worker);
    node_fixture_wait_ms(100);
    cr_expect_eq(n_taken, 3);
    answer_next(ERR_OK);
    answer_next(ERR_OK);
    expect_accepted(2);
    expect_accepted(3);
}

/* ---- plain ---- */

static void enter_plain(void)
{
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
}

Test(session_message, of_a_plain_client_is_each_text_that_is_json)
{
    enter_plain();
    subscriber_say(&subscriber, " {\"a\": [1 ,2]}\n");
    subscriber_say(&subscriber, "7");
    cr_assert_eq(n_taken, 2);
    cr_expect(span_equal(taken[0].message.said.data, SPAN_LITERAL("{\"a\": [1 ,2]}")));
    cr_expect_str_eq(taken[0].message.said.level, "plain");
    cr_expect_eq(taken[0].message.said.client_id.len, 0);
    cr_expect_eq(taken[0].message.said.device.len, 0);
    cr_expect(span_equal(taken[1].message.said.data, SPAN_LITERAL("7")));
    answer_next(ERR_OK);
    answer_next(ERR_OK);
    subscriber_expect_nothing(&subscriber);
}

Test(session_message, of_a_plain_client_may_come_in_pieces)
{
    static const uint8_t pieces[] = {0x01, 0x83, 0, 0, 0, 0, '[', '1', ',',
                                     0x80, 0x82, 0, 0, 0, 0, '2', ']'};
    enter_plain();
    subscriber_send_raw(&subscriber, pieces, sizeof pieces);
    node_fixture_turn();
    cr_assert_eq(n_taken, 1);
    cr_expect(span_equal(taken[0].message.said.data, SPAN_LITERAL("[1,2]")));
}

Test(session_message, of_a_plain_client_that_is_no_json_closes_it)
{
    static const char *const texts[] = {"hello", "", " ", "{\"a\":1", "1 2", "{\"a\":01}"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        enter_plain();
        subscriber_say(&subscriber, texts[i]);
        struct span reason = subscriber_expect_close(&subscriber, 1007);
        cr_expect(span_equal(reason, SPAN_LITERAL("a text message is not JSON")), "%.*s",
                  (int)reason.len, reason.bytes);
    }
    cr_expect_eq(n_taken, 0);
}

static void expect_close_of_plain(enum err error, unsigned code, const char *reason)
{
    refusal = error;
    enter_plain();
    subscriber_say(&subscriber, "1");
    struct span got = subscriber_expect_close(&subscriber, code);
    cr_expect_geq(got.len, strlen(reason));
    cr_expect_eq(memcmp(got.bytes, reason, strlen(reason)), 0, "%.*s", (int)got.len, got.bytes);
}

Test(session_message, of_a_plain_client_that_is_not_taken_closes_it)
{
    expect_close_of_plain(ERR_RATE, 4005, "rate retry_ms=");
    expect_close_of_plain(ERR_TOO_LARGE, 1009, "the message is too large");
    expect_close_of_plain(ERR_FULL, 1013, "a message could not be kept retry_ms=");
    expect_close_of_plain(ERR_NO_MEMORY, 1013, "a message could not be kept retry_ms=");
    refusal = ERR_OK;
    enter_plain();
    subscriber_say(&subscriber, "1");
    answer_next(ERR_STORE_UNAVAILABLE);
    subscriber_expect_close(&subscriber, 1013);
}

Test(session_message, of_a_plain_client_is_dropped_where_none_are_taken)
{
    int64_t dropped = metrics_read(METRIC_CLIENT_MESSAGES);
    fixture.node.takes_plain_messages = false;
    enter_plain();
    subscriber_say(&subscriber, "1");
    subscriber_say(&subscriber, "hello");
    cr_expect_eq(n_taken, 0);
    cr_expect_eq(metrics_read(METRIC_CLIENT_MESSAGES), dropped + 2);
    cr_expect_null(subscriber.session->extra);
    subscriber_expect_nothing(&subscriber);
}
