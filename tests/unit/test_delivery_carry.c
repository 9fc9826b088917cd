/* Sessions go from one process to another (successor.h): what concerns their user's inbox, and all
 * of a user's sessions together. The store between the two can be kept from answering. */
#include "gateway/delivery/delivery_carry.h"

#include "gateway/base/metrics.h"
#include "gateway/delivery/delivery.h"
#include "gateway/delivery/kicked_streams.h"
#include "gateway/delivery/kicks.h"
#include "gateway/delivery/positions.h"
#include "gateway/session/session_close.h"
#include "gateway/session/session_life.h"
#include "tests/support/store_double.h"
#include "tests/support/successor.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <unistd.h>

enum { SECONDS_MS = 2500 };

static struct subscriber first, second;

static void set_up(void)
{
    node_fixture_start();
    store_double_start();
    successor_start();
}

TestSuite(delivery_carry, .init = set_up, .fini = successor_stop);

static void enter(struct subscriber *subscriber, enum handshake_level level, const char *device)
{
    subscriber_enter(subscriber, level, "u", device);
    if (level == LEVEL_V1)
        subscriber_expect_start(subscriber, "{\"type\":\"hello\"");
    else if (level == LEVEL_SSE)
        subscriber_text(subscriber);
}

static struct client *client_of(const char *user_id)
{
    return client_map_find(successor.node.map, span_of(user_id));
}

static void expect_data(struct subscriber *subscriber, const char *data)
{
    char end[64];
    struct subscriber_frame frame;
    snprintf(end, sizeof end, "\"data\":%s}", data);
    cr_assert(subscriber_next(subscriber, &frame), "%s has not come", data);
    cr_expect_not_null(strstr(frame.payload.bytes, end), "%s", frame.payload.bytes);
}

static void acknowledge(struct subscriber *subscriber, struct session *session, uint64_t seq)
{
    char text[128];
    struct epoch epoch = session->client->epoch;
    snprintf(text, sizeof text, "{\"type\":\"ack\",\"id\":\"%.*s-%llu\"}", EPOCH_LEN, epoch.text,
             (unsigned long long)seq);
    subscriber_say(subscriber, text);
}

static void on_done(struct store_request *request)
{
    (void)request;
}

/* ---- the inbox ---- */

Test(delivery_carry, the_first_page_is_an_arrival_with_which_the_store_begins_to_tell)
{
    enter(&first, LEVEL_PLAIN, NULL);
    unsigned before = store_double_count(STORE_OP_PAGE);
    unsigned n_arrivals = store_double_arrivals();
    successor_take();
    cr_expect_eq(store_double_count(STORE_OP_PAGE), before + 1);
    cr_expect_eq(store_double_arrivals(), n_arrivals + 1);
    cr_expect_eq(client_map_count(successor.node.map, SPAN_LITERAL("u")), 1);
    successor_go();
    cr_expect_eq(store_double_count(STORE_OP_PAGE), before + 1);
    client_map_missed(successor.node.map, SPAN_LITERAL("u"), MISSED_NOTIFICATIONS);
    node_fixture_turn();
    cr_expect_eq(store_double_count(STORE_OP_PAGE), before + 2);
    cr_expect_eq(store_double_arrivals(), n_arrivals + 1);
}

/* As a session of a store that is away: the file store is there only when the other one has let it
 * go. */
Test(delivery_carry, a_store_that_is_not_there_yet_is_asked_again)
{
    enter(&first, LEVEL_V1, NULL);
    node_fixture_push("u", "1", 60);
    expect_data(&first, "1");
    store_double_set_away(true);
    successor_take_over();
    struct session *session = successor_session("u");
    cr_expect_eq(session->reader.state, READER_WAITING_STORE);
    acknowledge(&first, session, 1);
    cr_expect_eq(session->acked, 1);
    cr_expect_eq(position_acked(positions_of(session)), 0, "nobody knows where it is");
    store_double_set_away(false);
    node_fixture_push("u", "2", 60);
    node_fixture_wait_ms(SECONDS_MS);
    cr_expect(reader_is_live(&session->reader));
    expect_data(&first, "2");
    subscriber_expect_nothing(&first);
    cr_expect_eq(position_acked(positions_of(session)), 1);
    cr_expect_eq(store_double_last_ack().seq, 1);
}

Test(delivery_carry, tells_of_a_withdrawal_that_nobody_was_there_to_hear)
{
    enter(&first, LEVEL_V1, NULL);
    node_fixture_push("u", "1", 60);
    node_fixture_push("u", "2", 60);
    expect_data(&first, "1");
    expect_data(&first, "2");
    struct store_withdraw withdraw = {.request = {.on_done = on_done},
                                      .user_id = SPAN_LITERAL("u"),
                                      .epoch = first.session->client->epoch,
                                      .seq = 1};
    fixture.is_parked = true;
    fixture.successor = NULL;
    fixture.loses_events = true;
    store_withdraw(fixture.node.store, &withdraw);
    node_fixture_turn();
    fixture.successor = &successor.node;
    successor_take_over();
    subscriber_expect_start(&first, "{\"type\":\"cancel\"");
    subscriber_expect_nothing(&first);
}

Test(delivery_carry, of_an_epoch_that_is_over_gets_a_reset_and_is_closed_when_it_goes_on)
{
    enter(&first, LEVEL_V1, NULL);
    enter(&second, LEVEL_PLAIN, NULL);
    node_fixture_push("u", "1", 60);
    expect_data(&first, "1");
    first.session->client->epoch = (struct epoch){"abcdefgh"};
    successor_take();
    subscriber_expect_nothing(&first);
    successor_go();
    subscriber_expect_start(&first, "{\"type\":\"gap\"");
    subscriber_expect_close(&first, 4004);
    subscriber_expect(&second, WS_TEXT, "1");
    subscriber_expect(&second, WS_PING, "1");
    subscriber_expect_close(&second, 4004);
}

/* Two records that do not go together. */
Test(delivery_carry, of_another_epoch_than_its_users_is_closed_when_it_goes_on)
{
    struct carried_session carried = {.user_id = SPAN_LITERAL("u"),
                                      .level = LEVEL_V1,
                                      .epoch = {"abcdefgh"},
                                      .has_begun = true,
                                      .sent = 1};
    enter(&first, LEVEL_V1, NULL);
    int ours;
    subscriber_dial(&second, &ours);
    successor_take();
    cr_assert_eq(delivery_adopt(successor.worker, successor.peers, &carried, ours), ERR_OK);
    successor_go();
    subscriber_expect_start(&second, "{\"type\":\"gap\"");
    subscriber_expect_close(&second, 4004);
    subscriber_expect_nothing(&first);
}

Test(delivery_carry, keeps_its_device_and_that_devices_position)
{
    enter(&first, LEVEL_V1, "phone");
    enter(&second, LEVEL_V1, NULL);
    node_fixture_push("u", "1", 60);
    acknowledge(&first, first.session, 1);
    successor_take_over();
    struct client *client = client_of("u");
    struct position *phone = client_position(client, SPAN_LITERAL("phone"));
    cr_assert_not_null(phone);
    cr_expect_eq(phone->n_sessions, 1);
    cr_expect_eq(client->shared.n_sessions, 1);
    cr_expect_eq(position_acked(phone), 1);
    cr_expect_eq(position_acked(&client->shared), 0);
    node_fixture_push("u", "2", 60);
    expect_data(&first, "1");
    expect_data(&first, "2");
    subscriber_expect_nothing(&first);
}

/* ---- positions ---- */

Test(delivery_carry, writes_what_the_store_does_not_have_of_a_position)
{
    enter(&first, LEVEL_V1, NULL);
    for (int i = 0; i < 5; i++)
        node_fixture_push("u", "1", 60);
    acknowledge(&first, first.session, 4);
    cr_assert_eq(store_double_count(STORE_OP_ACK), 0);
    int64_t n_acked = metrics_read(METRIC_ACKED);
    successor_take();
    node_fixture_wait_ms(SECONDS_MS);
    cr_expect_eq(store_double_count(STORE_OP_ACK), 0, "it is written while it is held");
    successor_go();
    cr_expect_eq(position_acked(&client_of("u")->shared), 4);
    node_fixture_wait_ms(SECONDS_MS);
    cr_expect_eq(store_double_count(STORE_OP_ACK), 1);
    cr_expect_eq(store_double_last_ack().seq, 4);
    cr_expect_eq(metrics_read(METRIC_ACKED), n_acked, "it is counted twice");
}

Test(delivery_carry, writes_nothing_that_the_store_has)
{
    enter(&first, LEVEL_V1, NULL);
    node_fixture_push("u", "1", 60);
    acknowledge(&first, first.session, 1);
    node_fixture_wait_ms(SECONDS_MS);
    unsigned n = store_double_count(STORE_OP_ACK);
    cr_assert_eq(n, 1);
    successor_take_over();
    node_fixture_wait_ms(SECONDS_MS);
    cr_expect_eq(store_double_count(STORE_OP_ACK), n);
}

/* The second one has not read what the first one has acknowledged. */
Test(delivery_carry, a_position_is_that_of_the_lowest_of_all_its_sessions_however_late_it_comes)
{
    enter(&first, LEVEL_V1, NULL);
    enter(&second, LEVEL_V1, NULL);
    for (int i = 0; i < 5; i++)
        node_fixture_push("u", "1", 60);
    acknowledge(&first, first.session, 5);
    acknowledge(&second, second.session, 2);
    successor_take_over();
    node_fixture_wait_ms(SECONDS_MS);
    cr_expect_eq(position_acked(&client_of("u")->shared), 2);
    cr_expect_eq(store_double_last_ack().seq, 2);
    session_close(successor_session("u"), ERR_KICKED);
    node_fixture_wait_ms(SECONDS_MS);
    cr_expect_eq(position_acked(&client_of("u")->shared), 2);
    session_close(successor_session("u"), ERR_KICKED);
    node_fixture_turn();
    cr_expect_eq(store_double_last_ack().seq, 5, "%u", (unsigned)store_double_last_ack().seq);
}

/* It tells the store that nobody holds the shared position, and the other process holds it. */
Test(delivery_carry, leaves_its_client_without_a_word_to_the_store)
{
    enter(&first, LEVEL_V1, NULL);
    enter(&second, LEVEL_V1, "phone");
    node_fixture_push("u", "1", 60);
    node_fixture_wait_ms(SECONDS_MS);
    unsigned n = store_double_count(STORE_OP_ACK);
    successor_take_over();
    cr_expect_eq(store_double_count(STORE_OP_ACK), n);
    cr_expect_eq(client_map_users(fixture.node.map), 0);
}

/* Others of its position may be on their way. */
Test(delivery_carry, one_that_breaks_while_it_is_held_leaves_without_a_word_to_the_store)
{
    enter(&first, LEVEL_V1, NULL);
    node_fixture_push("u", "1", 60);
    successor_take();
    unsigned n = store_double_count(STORE_OP_ACK);
    session_give_up(successor_session("u"));
    node_fixture_turn();
    cr_expect_eq(successor.node.n_sessions, 0);
    cr_expect_eq(client_map_users(successor.node.map), 0);
    cr_expect_eq(store_double_count(STORE_OP_ACK), n);
    cr_expect_not(subscriber_has_ended(&first));
    successor_go();
    expect_data(&first, "1");
    cr_expect(subscriber_has_ended(&first));
}

/* ---- its first page has not come ---- */

static void begin(enum handshake_level level, struct resume resume)
{
    store_double_hold(STORE_OP_PAGE);
    subscriber_open(&first, (struct admission){.level = level,
                                               .claim.is_known = true,
                                               .resume = resume,
                                               .deflate = {.window_bits = 12, .is_named = true},
                                               .origin = SPAN_LITERAL("https://a.example"),
                                               .is_explicit = true});
    cr_assert_eq(delivery_enter(first.session, SPAN_LITERAL("u"), SPAN_NONE), ERR_OK);
    node_fixture_turn();
    cr_assert_eq(subscriber_receive(&first), 0);
}

static void expect_part(const char *text, const char *part)
{
    cr_expect_not_null(strstr(text, part), "%s is not in: %s", part, text);
}

Test(delivery_carry, a_websocket_that_is_unanswered_is_answered_by_the_other_process)
{
    begin(LEVEL_PLAIN, (struct resume){0});
    successor_take();
    store_double_release(STORE_OP_PAGE);
    node_fixture_turn();
    cr_expect_eq(subscriber_receive(&first), 0);
    successor_go();
    const char *head = subscriber_text(&first);
    cr_expect_eq(strncmp(head, "HTTP/1.1 101 ", 13), 0, "%s", head);
    expect_part(head, "Sec-WebSocket-Accept: aaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n");
    expect_part(head, "server_max_window_bits=12");
    node_fixture_push("u", "1", 60);
    subscriber_expect(&first, WS_TEXT, "1");
}

Test(delivery_carry, an_event_stream_that_is_unanswered_is_answered_by_the_other_process)
{
    begin(LEVEL_SSE, (struct resume){0});
    successor_take();
    successor_go();
    cr_expect_eq(subscriber_receive(&first), 0);
    store_double_release(STORE_OP_PAGE);
    node_fixture_turn();
    const char *text = subscriber_text(&first);
    cr_expect_eq(strncmp(text, "HTTP/1.1 200 OK\r\n", 17), 0, "%s", text);
    expect_part(text, "Access-Control-Allow-Origin: https://a.example\r\n");
    cr_expect(successor_session("u")->extra->stream.is_explicit);
}

Test(delivery_carry, resumes_where_it_asked_to)
{
    enter(&second, LEVEL_V1, NULL);
    node_fixture_push("u", "1", 60);
    node_fixture_push("u", "2", 60);
    struct epoch epoch = second.session->client->epoch;
    begin(LEVEL_V1, (struct resume){epoch, 1});
    successor_take_over();
    store_double_release(STORE_OP_PAGE);
    node_fixture_turn();
    subscriber_receive(&first);
    first.bytes[first.len] = '\0';
    char *end = strstr((char *)first.bytes, "\r\n\r\n");
    cr_assert_not_null(end);
    first.len -= (size_t)(end + 4 - (char *)first.bytes);
    memmove(first.bytes, end + 4, first.len);
    struct subscriber_frame frame;
    cr_assert(subscriber_next(&first, &frame));
    expect_part(frame.payload.bytes, "\"resumed\":true");
    expect_data(&first, "2");
    subscriber_expect_nothing(&first);
}

/* ---- blocks, kicks and limits ---- */

Test(delivery_carry, of_a_user_who_is_blocked_is_closed_when_it_goes_on)
{
    enter(&first, LEVEL_V1, NULL);
    struct store_block block = {
        .request = {.on_done = on_done}, .user_id = SPAN_LITERAL("u"), .for_s = 60};
    fixture.is_parked = true;
    store_block(fixture.node.store, &block);
    node_fixture_turn();
    successor_take();
    subscriber_expect_nothing(&first);
    node_fixture_wait_ms(5000);
    subscriber_expect_nothing(&first);
    cr_expect_not(subscriber_has_ended(&first));
    successor_go();
    subscriber_expect_close(&first, error_close_code(ERR_BLOCKED));
    cr_expect_not(subscriber_has_ended(&first));
    node_fixture_wait_ms(2100);
    cr_expect(subscriber_has_ended(&first));
}

Test(delivery_carry, all_sessions_of_a_user_who_is_kicked_meanwhile_are_closed)
{
    enter(&first, LEVEL_V1, NULL);
    enter(&second, LEVEL_SSE, NULL);
    successor_take();
    kicks_close(client_of("u"), SPAN_LITERAL("go away"));
    node_fixture_turn();
    cr_expect_eq(client_of("u")->n_sessions, 2);
    subscriber_expect_nothing(&first);
    successor_go();
    struct span reason = subscriber_expect_close(&first, error_close_code(ERR_KICKED));
    cr_expect(span_equal(reason, SPAN_LITERAL("go away")), "%s", reason.bytes);
    expect_part(subscriber_text(&second), "retry: 86400000\n");
    cr_expect(subscriber_has_ended(&second));
    cr_expect(kicked_streams_take(successor.worker, SPAN_LITERAL("u")));
    cr_expect_null(client_of("u"));
}

Test(delivery_carry, a_kick_that_waits_is_forgotten_when_the_process_gives_up)
{
    enter(&first, LEVEL_V1, NULL);
    successor_take();
    kicks_close(client_of("u"), SPAN_NONE);
    successor_give_up();
    subscriber_expect_nothing(&first);
    subscriber_say(&first, "{\"type\":\"ping\"}");
    subscriber_expect(&first, WS_TEXT, "{\"type\":\"pong\"}");
}

Test(delivery_carry, a_limit_that_is_lower_now_refuses_nobody_who_is_there)
{
    enter(&first, LEVEL_PLAIN, NULL);
    enter(&second, LEVEL_PLAIN, NULL);
    successor.options.max_connections_per_user = 1;
    successor_take_over();
    cr_expect_eq(successor.n_adopted, 2);
    cr_expect_eq(client_of("u")->n_sessions, 2);
    subscriber_expect_nothing(&first);
    subscriber_expect_nothing(&second);
}

/* ---- where it lives ---- */

Test(delivery_carry, a_session_lives_where_its_user_does_and_a_stranger_anywhere)
{
    struct worker *workers[] = {successor.worker, successor.worker + 1};
    struct node node = {.workers = workers, .n_workers = 2, .map = successor.node.map};
    struct carried_session carried = {.user_id = SPAN_LITERAL("u")};
    for (unsigned any = 0; any < 4; any++)
        cr_expect_eq(delivery_carried_home(&node, &carried, any), workers[0]);
    carried = (struct carried_session){.is_stranger = true};
    for (unsigned any = 0; any < 4; any++)
        cr_expect_eq(delivery_carried_home(&node, &carried, any), workers[any % 2]);
}
