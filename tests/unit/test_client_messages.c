/* Messages of clients on their way into the event log: what is written, when they are answered, and
 * what is not taken (EVENTS, Client messages). */
#include "gateway/events/client_messages.h"

#include "gateway/base/metrics.h"
#include "gateway/events/events.h"
#include "gateway/node/client_message.h"
#include "gateway/store/store_event_request.h"
#include "tests/support/node_fixture.h"
#include "tests/support/store_double.h"

#include <criterion/criterion.h>
#include <stdio.h>

enum { ANSWERS_MAX = 100, BURST = 50 };

static struct answer {
    enum err error;
    char id[16];
} answers[ANSWERS_MAX];
static unsigned n_answers;
static char *kept[] = {"client.message"};
static char said_text[200];
static unsigned n_kept;

static void on_answer(const struct client_message *message, enum err error)
{
    cr_assert_lt(n_answers, ANSWERS_MAX);
    struct answer *answer = &answers[n_answers++];
    answer->error = error;
    snprintf(answer->id, sizeof answer->id, "%.*s", (int)message->said.client_id.len,
             message->said.client_id.bytes);
    cr_expect_eq(message->owner, answers);
    cr_expect(span_equal(message->said.user_id, SPAN_LITERAL("anna")));
}

static void on_message_kept(struct node *node, const struct event_message *said)
{
    cr_expect_eq(node, &fixture.node);
    n_kept++;
    snprintf(said_text, sizeof said_text, "%.*s %.*s %.*s", (int)said->user_id.len,
             said->user_id.bytes, (int)said->client_id.len, said->client_id.bytes,
             (int)said->data.len, said->data.bytes);
}

static void start(void)
{
    char why[200] = "";
    node_fixture_start();
    store_double_start();
    fixture.options.events = (struct option_list){kept, 1};
    fixture.options.events_max = 6250;
    fixture.options.events_max_bytes = 16 << 20;
    fixture.options.client_messages = "v1";
    fixture.options.client_messages_per_second = 10;
    cr_assert_eq(events_check(&fixture.options, why, sizeof why), ERR_OK, "%s", why);
    cr_assert_eq(events_new(&fixture.node, why, sizeof why), ERR_OK, "%s", why);
    cr_assert_not_null(fixture.node.take_message);
    cr_expect_not(fixture.node.takes_plain_messages);
    fixture.node.on_message_kept = on_message_kept;
    store_double_play_events(ERR_OK);
    store_double_hold(STORE_OP_EVENT_APPEND);
    n_answers = n_kept = 0;
}

static void stop(void)
{
    events_stop(&fixture.node);
    store_double_release(STORE_OP_EVENT_APPEND);
    node_fixture_turn();
    node_fixture_stop();
    events_free(fixture.node.events);
    fixture.node.events = NULL;
}

TestSuite(client_messages, .init = start, .fini = stop);

static enum err take(const char *id, struct span data)
{
    char copy[16], user[] = "anna";
    snprintf(copy, sizeof copy, "%s", id);
    const struct client_message message = {
        .said = {.user_id = span_of(user),
                 .connection = 0x7f3a,
                 .level = "herald.v1",
                 .client_id = span_of(copy),
                 .data = data},
        .worker = fixture.worker,
        .owner = answers,
        .on_answer = on_answer,
    };
    enum err error = client_message_take(&fixture.node, &message);
    memset(copy, 'x', sizeof copy); /* all that it points to was copied */
    memset(user, 'x', sizeof user - 1);
    return error;
}

static void release(void)
{
    store_double_release(STORE_OP_EVENT_APPEND);
    node_fixture_turn();
    store_double_hold(STORE_OP_EVENT_APPEND);
}

Test(client_messages, are_written_as_events_of_their_user_and_answered_when_they_are_kept)
{
    int64_t before = metrics_read(METRIC_MESSAGES_KEPT_V1);
    cr_assert_eq(take("c-1", SPAN_LITERAL("[1]")), ERR_OK);
    const struct store_event_append *append = store_double_last_append();
    cr_assert_not_null(append);
    cr_expect_eq(append->partition, store_partition_of(SPAN_LITERAL("anna")));
    cr_expect(append->is_bounded);
    cr_expect(span_equal(append->events[0],
                         SPAN_LITERAL("{\"type\":\"client.message\",\"userId\":\"anna\","
                                      "\"connection\":\"c-7f3a\",\"level\":\"herald.v1\","
                                      "\"device\":null,\"clientId\":\"c-1\",\"data\":[1]}")),
              "%.*s", (int)append->events[0].len, append->events[0].bytes);
    node_fixture_turn();
    cr_expect_eq(n_answers, 0);
    release();
    cr_assert_eq(n_answers, 1);
    cr_expect_eq(answers[0].error, ERR_OK);
    cr_expect_str_eq(answers[0].id, "c-1");
    cr_expect_eq(metrics_read(METRIC_MESSAGES_KEPT_V1), before + 1);
    cr_expect_eq(n_kept, 1);
    cr_expect_str_eq(said_text, "anna c-1 [1]");
}

Test(client_messages, are_answered_in_their_order)
{
    char id[16];
    for (unsigned i = 0; i < 20; i++) {
        snprintf(id, sizeof id, "c-%u", i);
        cr_assert_eq(take(id, SPAN_LITERAL("1")), ERR_OK);
    }
    release();
    release();
    cr_assert_eq(n_answers, 20);
    for (unsigned i = 0; i < 20; i++) {
        snprintf(id, sizeof id, "c-%u", i);
        cr_expect_str_eq(answers[i].id, id);
        cr_expect_eq(answers[i].error, ERR_OK);
    }
}

Test(client_messages, that_the_store_does_not_keep_are_answered_and_counted)
{
    int64_t full = metrics_read(METRIC_MESSAGES_UNKEPT_FULL);
    int64_t away = metrics_read(METRIC_MESSAGES_UNKEPT_STORE);
    store_double_play_events(ERR_FULL);
    cr_assert_eq(take("c-1", SPAN_LITERAL("1")), ERR_OK);
    release();
    store_double_play_events(ERR_STORE_UNAVAILABLE);
    cr_assert_eq(take("c-2", SPAN_LITERAL("1")), ERR_OK);
    release();
    cr_assert_eq(n_answers, 2);
    cr_expect_eq(answers[0].error, ERR_FULL);
    cr_expect_eq(answers[1].error, ERR_STORE_UNAVAILABLE);
    cr_expect_eq(metrics_read(METRIC_MESSAGES_UNKEPT_FULL), full + 1);
    cr_expect_eq(metrics_read(METRIC_MESSAGES_UNKEPT_STORE), away + 1);
    cr_expect_eq(n_kept, 0);
}

Test(client_messages, beyond_a_burst_are_not_taken)
{
    int64_t limited = metrics_read(METRIC_LIMITED_CLIENT_MESSAGES);
    for (unsigned i = 0; i < BURST; i++)
        cr_assert_eq(take("c-1", SPAN_LITERAL("1")), ERR_OK);
    cr_expect_eq(take("c-2", SPAN_LITERAL("1")), ERR_RATE);
    cr_expect_eq(metrics_read(METRIC_LIMITED_CLIENT_MESSAGES), limited + 1);
    node_fixture_wait_ms(1000);
    for (unsigned i = 0; i < 10; i++)
        cr_assert_eq(take("c-3", SPAN_LITERAL("1")), ERR_OK);
    cr_expect_eq(take("c-4", SPAN_LITERAL("1")), ERR_RATE);
    release();
    release();
    cr_expect_eq(n_answers, BURST + 10);
}

Test(client_messages, of_more_than_64_kib_are_not_taken)
{
    static char data[CLIENT_MESSAGE_MAX_BYTES + 1];
    int64_t refused = metrics_read(METRIC_MESSAGES_UNKEPT_SIZE);
    memset(data, '1', sizeof data);
    cr_expect_eq(take("c-1", (struct span){data, sizeof data}), ERR_TOO_LARGE);
    cr_expect_eq(take("c-1", (struct span){data, sizeof data - 1}), ERR_OK);
    fixture.options.events_max_bytes = 64 << 10;
    cr_expect_eq(take("c-1", (struct span){data, 63 << 10}), ERR_OK);
    cr_expect_eq(take("c-1", (struct span){data, (63 << 10) + 1}), ERR_TOO_LARGE);
    cr_expect_eq(metrics_read(METRIC_MESSAGES_UNKEPT_SIZE), refused + 2);
    release();
    release();
}

Test(client_messages, that_would_not_be_kept_as_events_are_an_error_at_start)
{
    char why[200] = "";
    static char *others[] = {"user.online"};
    struct options options = fixture.options;
    options.events = (struct option_list){others, 1};
    cr_expect_eq(events_check(&options, why, sizeof why), ERR_INVALID_FIELD);
    cr_expect_not_null(strstr(why, "--client-messages v1 needs --events client.message"), "%s",
                       why);
    options.events = (struct option_list){NULL, 0};
    options.client_messages = "all";
    cr_expect_eq(events_check(&options, why, sizeof why), ERR_INVALID_FIELD);
    options.client_messages = "off";
    cr_expect_eq(events_check(&options, why, sizeof why), ERR_OK);
}
