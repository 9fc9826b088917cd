/* From a user's channel to the user's sessions. */
#include "gateway/base/metrics.h"
#include "gateway/delivery/delivery.h"
#include "gateway/requests/requests.h"
#include "gateway/session/session_close.h"
#include "tests/support/node_fixture.h"
#include "tests/support/slow_subscriber.h"
#include "tests/support/store_double.h"
#include "tests/support/subscriber.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

enum { LEN = 4000 };

static struct subscriber subscriber, other;

static void set_up(void)
{
    node_fixture_start();
    store_double_start();
}

static enum reader_state state_of(const struct subscriber *of)
{
    return of->session->reader.state;
}

/* A push that is stored and whose event is in the channel, but which the worker has not seen. */
static struct gateway_target target;
static struct gateway_push push;

static void on_pushed(struct gateway_push *done)
{
    (void)done;
}

static void push_unseen(const char *data, const char *collapse_key)
{
    target = (struct gateway_target){.user_id = SPAN_LITERAL("u")};
    push = (struct gateway_push){.on_done = on_pushed,
                                 .data = span_of(data),
                                 .ttl_s = 60,
                                 .collapse_key = span_of(collapse_key),
                                 .n_targets = 1,
                                 .targets = &target};
    gateway_push(&fixture.node, &push);
    node_fixture_turn_store();
    cr_assert_eq(target.error, ERR_OK);
}

static void on_done(struct store_request *request)
{
    (void)request;
}

static void withdraw_number(uint64_t seq)
{
    struct store_withdraw withdraw = {.request = {.on_done = on_done},
                                      .user_id = SPAN_LITERAL("u"),
                                      .epoch = subscriber.session->client->epoch,
                                      .seq = seq};
    store_withdraw(fixture.node.store, &withdraw);
    node_fixture_turn();
    cr_assert_eq(withdraw.error, ERR_OK);
}

TestSuite(delivery, .init = set_up, .fini = node_fixture_stop);

Test(delivery, gives_a_notification_to_every_session_of_the_user_and_to_no_other)
{
    struct subscriber *third = calloc(1, sizeof *third);
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    subscriber_enter(&other, LEVEL_PLAIN, "u", "phone");
    subscriber_enter(third, LEVEL_PLAIN, "v", NULL);
    node_fixture_push("u", "1", 60);
    subscriber_expect(&subscriber, WS_TEXT, "1");
    subscriber_expect(&other, WS_TEXT, "1");
    subscriber_expect_nothing(third);
    cr_expect_eq(metrics_read(METRIC_DELIVERED_LIVE), 2);
    free(third);
}

/* CONTRACT 5.2: a notification with ttl 0 is delivered at once or never. */
Test(delivery, drops_what_has_ttl_0_where_there_is_no_room_and_stays_live)
{
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    slow_subscriber_narrow(&subscriber);
    fixture.options.session_max_bytes = 2 * LEN;
    for (unsigned i = 0; i < 12; i++)
        slow_subscriber_push("u", i, LEN, 0);
    int64_t n_dropped = metrics_read(METRIC_EPHEMERAL_DROPPED);
    cr_expect_gt(n_dropped, 0);
    cr_expect_eq(metrics_read(METRIC_DELIVERED_LIVE), 12 - n_dropped);
    cr_expect_eq(state_of(&subscriber), READER_LIVE);
    slow_subscriber_expect_all(&subscriber, (unsigned)(12 - n_dropped));
}

Test(delivery, tells_a_client_to_hide_what_was_withdrawn_after_it_was_written)
{
    subscriber_enter(&subscriber, LEVEL_V1, "u", NULL);
    node_fixture_push("u", "1", 60);
    slow_subscriber_expect_part(&subscriber, "hello");
    slow_subscriber_expect_part(&subscriber, "\"data\":1");
    withdraw_number(1);
    slow_subscriber_expect_part(&subscriber, "\"type\":\"cancel\"");
    subscriber_expect_nothing(&subscriber);
}

Test(delivery, does_not_write_what_was_withdrawn_while_it_waited_in_memory)
{
    subscriber_enter(&subscriber, LEVEL_V1, "u", NULL);
    slow_subscriber_expect_part(&subscriber, "hello");
    slow_subscriber_narrow(&subscriber);
    for (unsigned i = 0; i < 12; i++)
        slow_subscriber_push("u", i, LEN, 60);
    cr_assert_eq(state_of(&subscriber), READER_LIVE);
    cr_assert_lt(session_sent(subscriber.session), 12);
    withdraw_number(12);
    cr_expect_eq(metrics_read(METRIC_UNSENT_WITHDRAWN), 1);
    for (unsigned i = 0; i < 11; i++)
        slow_subscriber_expect_part(&subscriber, "\"type\":\"notification\"");
    slow_subscriber_expect_part(&subscriber, "\"type\":\"gap\"");
    subscriber_expect_nothing(&subscriber);
}

Test(delivery, tells_a_client_to_hide_what_a_later_notification_has_replaced)
{
    subscriber_enter(&subscriber, LEVEL_V1, "u", NULL);
    slow_subscriber_expect_part(&subscriber, "hello");
    push_unseen("1", "key");
    node_fixture_turn();
    slow_subscriber_expect_part(&subscriber, "\"data\":1");
    push_unseen("2", "key");
    node_fixture_turn();
    slow_subscriber_expect_part(&subscriber, "\"type\":\"cancel\"");
    slow_subscriber_expect_part(&subscriber, "\"data\":2");
    subscriber_expect_nothing(&subscriber);
}

/* The channel holds session_max_bytes as they were at the start; the inbox has it all. */
Test(delivery, reads_the_inbox_when_the_channel_has_overflowed)
{
    enum { BIG = 60000, NOTES = 6 };
    char *text = malloc(BIG + 1);
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    memset(text, ' ', BIG);
    text[BIG] = '\0';
    for (unsigned i = 0; i < NOTES; i++) {
        text[0] = '"';
        text[1] = (char)('0' + i);
        text[BIG - 1] = '"';
        push_unseen(text, "");
    }
    node_fixture_turn();
    cr_expect_eq(metrics_read(METRIC_CHANNEL_OVERFLOW), 1);
    slow_subscriber_expect_all(&subscriber, NOTES);
    cr_expect_eq(state_of(&subscriber), READER_LIVE);
    cr_expect_gt(store_double_count(STORE_OP_PAGE), 1);
    free(text);
}

/* The letter must not find what was freed: this is for the address sanitizer. */
Test(delivery, keeps_a_client_that_has_left_until_its_letter_has_come)
{
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    push_unseen("1", "");
    session_close(subscriber.session, ERR_KICKED);
    cr_expect_eq(client_map_users(fixture.node.map), 0);
    node_fixture_turn();
    subscriber_expect_close(&subscriber, 4503);
}

Test(delivery, closes_all_sessions_when_another_epoch_has_begun)
{
    struct epoch another;
    memset(another.text, 'z', sizeof another.text);
    struct payload *payload = payload_new(SPAN_LITERAL("0"));
    int64_t now_ms = store_now_ms(fixture.node.store);
    struct notification *note = notification_new(payload, another, 1, now_ms, now_ms + 60000);
    subscriber_enter(&subscriber, LEVEL_V1, "u", NULL);
    subscriber_enter(&other, LEVEL_PLAIN, "u", NULL);
    slow_subscriber_expect_part(&subscriber, "hello");
    client_map_offer(fixture.node.map, SPAN_LITERAL("u"), inbox_event_of_note(note));
    node_fixture_turn();
    slow_subscriber_expect_part(&subscriber, "reset");
    subscriber_expect_close(&subscriber, 4004);
    subscriber_expect_close(&other, 4004);
    cr_expect_eq(client_map_users(fixture.node.map), 0);
    notification_unref(note);
    payload_unref(payload);
}

Test(delivery, closes_the_oldest_session_of_a_user_who_has_too_many)
{
    fixture.options.max_connections_per_user = 1;
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    subscriber_enter(&other, LEVEL_PLAIN, "u", NULL);
    subscriber_expect_close(&subscriber, 4508);
    cr_expect_eq(state_of(&other), READER_LIVE);
    cr_expect_eq(client_map_count(fixture.node.map, SPAN_LITERAL("u")), 1);
}

/* Where parts of a store have clocks of their own. */
Test(delivery, lets_expire_by_the_clock_of_the_users_part_of_the_store)
{
    subscriber_enter(&subscriber, LEVEL_V1, "u", NULL);
    slow_subscriber_expect_part(&subscriber, "hello");
    store_double_set_ahead(59000);
    push_unseen("1", ""); /* for 60 s */
    node_fixture_turn();
    slow_subscriber_expect_part(&subscriber, "\"data\":1");
    store_double_set_ahead(61000);
    push_unseen("2", "");
    node_fixture_turn();
    slow_subscriber_expect_part(&subscriber, "\"cause\":\"expired\"");
}

/* ---- on the home worker itself ---- */

static unsigned offer(const char *data, uint64_t seq)
{
    struct client *client = client_map_find(fixture.node.map, SPAN_LITERAL("u"));
    struct payload *payload = payload_new_keyed(span_of(data), SPAN_NONE);
    int64_t now_ms = store_now_ms(fixture.node.store);
    struct epoch epoch = seq == 0 ? (struct epoch){{0}} : client->epoch;
    struct notification *note = notification_new(payload, epoch, seq, now_ms, now_ms + 60000);
    unsigned online = delivery_offer(&fixture.node, SPAN_LITERAL("u"), inbox_event_of_note(note));
    notification_unref(note);
    payload_unref(payload);
    return online;
}

static bool has_written(const struct subscriber *to)
{
    return conn_queued_bytes(&to->session->conn) > 0;
}

/* It needs no letter there, so the frame is written in the same turn. */
Test(delivery, happens_inside_the_call_on_the_thread_of_the_home)
{
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    subscriber_enter(&other, LEVEL_PLAIN, "u", NULL);
    node_fixture_push("u", "1", 60);
    subscriber_expect(&subscriber, WS_TEXT, "1");
    subscriber_expect(&subscriber, WS_PING, "1");
    worker_be_here(fixture.worker);
    cr_expect_eq(offer("0", 0), 2);
    cr_expect(has_written(&subscriber) && has_written(&other));
    cr_expect_eq(offer("2", 2), 2);
    worker_be_here(NULL);
    const struct client *client = client_map_find(fixture.node.map, SPAN_LITERAL("u"));
    cr_expect_eq(client->head, 2);
    cr_expect_null(client->channel);
    cr_expect_not(client->is_posted);
    cr_expect_eq(offer("3", 3), 2);
    cr_expect(client->is_posted, "from another thread it is a letter");
    node_fixture_turn();
    subscriber_expect(&subscriber, WS_TEXT, "0");
    subscriber_expect(&subscriber, WS_TEXT, "2");
    subscriber_expect(&subscriber, WS_TEXT, "3");
    cr_expect_eq(state_of(&subscriber), READER_LIVE);
}

Test(delivery, on_the_thread_of_the_home_waits_for_what_was_offered_before)
{
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    offer("1", 0);
    worker_be_here(fixture.worker);
    offer("2", 0);
    cr_expect_not(has_written(&subscriber));
    worker_be_here(NULL);
    node_fixture_turn();
    subscriber_expect(&subscriber, WS_TEXT, "1");
    subscriber_expect(&subscriber, WS_TEXT, "2");
}

/* What a session does further up the stack must not be met halfway. */
Test(delivery, on_the_thread_of_the_home_waits_for_a_session_that_is_at_work)
{
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    worker_be_here(fixture.worker);
    fixture.worker->answering = subscriber.session;
    offer("1", 0);
    cr_expect_not(has_written(&subscriber));
    fixture.worker->answering = NULL;
    node_fixture_turn();
    subscriber_expect(&subscriber, WS_TEXT, "1");
    fixture.worker->is_delivering = true;
    offer("2", 0);
    cr_expect_not(has_written(&subscriber));
    fixture.worker->is_delivering = false;
    worker_be_here(NULL);
    node_fixture_turn();
    subscriber_expect(&subscriber, WS_TEXT, "2");
}

Test(delivery, on_the_thread_of_the_home_of_others_or_to_nobody_is_as_anywhere)
{
    worker_be_here(fixture.worker);
    struct payload *payload = payload_new(SPAN_LITERAL("1"));
    struct notification *note = notification_new(payload, (struct epoch){{0}}, 0, 1, 0);
    cr_expect_eq(delivery_offer(&fixture.node, SPAN_LITERAL("nobody"), inbox_event_of_note(note)),
                 0);
    worker_be_here(NULL);
    notification_unref(note);
    payload_unref(payload);
}
