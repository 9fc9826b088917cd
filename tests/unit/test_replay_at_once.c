/* A first page that the store answers at once, because nothing waits (store_page_at_once): the
 * session is LIVE before the worker's turn is over, and the cut between store and channel is the
 * same as with a page that was asked for (CONTRACT 5.5). */
#include "gateway/delivery/delivery.h"
#include "gateway/requests/requests.h"
#include "tests/support/node_fixture.h"
#include "tests/support/subscriber.h"

#include <criterion/criterion.h>
#include <string.h>

static struct subscriber subscriber, other;

static void set_up(void)
{
    node_fixture_start();
    node_fixture_turn(); /* the store rests */
}

TestSuite(replay_at_once, .init = set_up, .fini = node_fixture_stop);

/* A session enters its client, and neither the worker nor the store has a turn. */
static enum reader_state enter(struct subscriber *of, enum handshake_level level,
                               const char *device)
{
    struct admission admission = {.level = level, .claim.is_known = true};
    subscriber_open(of, admission);
    struct span name = device == NULL ? SPAN_NONE : span_of(device);
    cr_assert_eq(delivery_enter(of->session, SPAN_LITERAL("u"), name), ERR_OK);
    return of->session->reader.state;
}

/* The answer of a request that was held back until the first page had come. */
static void expect_answer(struct subscriber *of)
{
    char *after;
    reactor_turn(fixture.worker->reactor, 0);
    subscriber_receive(of);
    cr_assert_eq(strncmp((const char *)of->bytes, "HTTP/1.1 101 ", 13), 0);
    after = strstr((const char *)of->bytes, "\r\n\r\n");
    cr_assert_not_null(after);
    of->len -= (size_t)(after + 4 - (char *)of->bytes);
    memmove(of->bytes, after + 4, of->len);
}

static void on_done(struct store_request *request)
{
    (void)request;
}

static void acknowledge(uint64_t seq, struct epoch epoch)
{
    struct store_ack ack = {
        .request = {.on_done = on_done}, .user_id = SPAN_LITERAL("u"), .epoch = epoch, .seq = seq};
    store_ack(fixture.node.store, &ack);
    node_fixture_turn();
    cr_assert_eq(ack.error, ERR_OK);
}

static struct epoch epoch_of_user(void)
{
    struct store_peek peek = {.request = {.on_done = on_done}, .user_id = SPAN_LITERAL("u")};
    store_peek(fixture.node.store, &peek);
    node_fixture_turn();
    return peek.epoch;
}

static struct gateway_target target;
static struct gateway_push push;

static void on_pushed(struct gateway_push *done)
{
    (void)done;
}

static void ask_push(const char *data)
{
    target = (struct gateway_target){.user_id = SPAN_LITERAL("u")};
    push = (struct gateway_push){.on_done = on_pushed,
                                 .data = span_of(data),
                                 .ttl_s = 60,
                                 .n_targets = 1,
                                 .targets = &target};
    gateway_push(&fixture.node, &push);
}

Test(replay_at_once, makes_a_session_of_an_unknown_user_live)
{
    cr_expect_eq(enter(&subscriber, LEVEL_PLAIN, NULL), READER_LIVE);
    expect_answer(&subscriber);
    subscriber_expect_nothing(&subscriber);
    node_fixture_push("u", "1", 60);
    subscriber_expect(&subscriber, WS_TEXT, "1");
    cr_expect_not(epoch_is_none(subscriber.session->client->epoch));
}

Test(replay_at_once, makes_a_session_of_a_user_live_who_has_acknowledged_everything)
{
    node_fixture_push("u", "1", 60);
    acknowledge(1, epoch_of_user());
    cr_expect_eq(enter(&subscriber, LEVEL_V1, NULL), READER_LIVE);
    cr_expect_eq(reader_tail(&subscriber.session->reader), 1);
    cr_expect_eq(subscriber.session->acked, 1);
    expect_answer(&subscriber);
    subscriber_expect_start(&subscriber, "{\"type\":\"hello\"");
    node_fixture_push("u", "2", 60);
    subscriber_expect_start(&subscriber, "{\"type\":\"notification\"");
}

/* Each of these has to be read, written or refused by the store. */
Test(replay_at_once, is_not_for_a_user_for_whom_something_waits)
{
    node_fixture_push("u", "1", 60);
    cr_expect_eq(enter(&subscriber, LEVEL_PLAIN, NULL), READER_READING);
    node_fixture_turn();
    expect_answer(&subscriber);
    subscriber_expect(&subscriber, WS_TEXT, "1");
}

Test(replay_at_once, is_not_for_a_user_whom_the_greeting_begins)
{
    cr_expect_eq(enter(&subscriber, LEVEL_V1, NULL), READER_READING);
    node_fixture_turn();
    cr_expect_eq(enter(&other, LEVEL_V1, NULL), READER_LIVE, "the user has begun");
}

Test(replay_at_once, is_not_for_a_device)
{
    cr_expect_eq(enter(&subscriber, LEVEL_PLAIN, "phone"), READER_READING);
    node_fixture_turn();
}

Test(replay_at_once, is_not_for_a_user_who_is_blocked)
{
    struct store_block block = {
        .request = {.on_done = on_done}, .user_id = SPAN_LITERAL("u"), .for_s = 10};
    store_block(fixture.node.store, &block);
    node_fixture_turn();
    cr_expect_eq(enter(&subscriber, LEVEL_PLAIN, NULL), READER_READING);
    node_fixture_turn();
    subscriber_receive(&subscriber);
    cr_expect_eq(strncmp((const char *)subscriber.bytes, "HTTP/1.1 403 ", 13), 0);
}

/* What the store has not carried out yet could be of this user. */
Test(replay_at_once, is_not_while_the_store_has_something_to_do)
{
    ask_push("1");
    cr_expect_eq(enter(&subscriber, LEVEL_PLAIN, NULL), READER_READING);
    node_fixture_turn();
    cr_assert_eq(target.error, ERR_OK);
    expect_answer(&subscriber);
    subscriber_expect(&subscriber, WS_TEXT, "1");
    subscriber_expect(&subscriber, WS_PING, NULL);
    subscriber_expect_nothing(&subscriber);
}

/* A push that comes after the page was answered, before the worker has its next turn. */
Test(replay_at_once, misses_nothing_that_is_pushed_before_the_turn_is_over)
{
    cr_expect_eq(enter(&subscriber, LEVEL_PLAIN, NULL), READER_LIVE);
    ask_push("1");
    node_fixture_turn_store();
    expect_answer(&subscriber);
    subscriber_expect(&subscriber, WS_TEXT, "1");
}

/* It was pushed and withdrawn while its letter is on its way: it is over for the session that
 * begins meanwhile, and is given to none. */
Test(replay_at_once, is_not_given_what_is_over_and_still_on_its_way_to_the_user)
{
    cr_expect_eq(enter(&other, LEVEL_PLAIN, NULL), READER_LIVE);
    node_fixture_turn();
    ask_push("1");
    node_fixture_turn_store();
    struct store_withdraw withdraw = {
        .request = {.on_done = on_done}, .user_id = SPAN_LITERAL("u"), .is_all = true};
    store_withdraw(fixture.node.store, &withdraw);
    node_fixture_turn_store();
    cr_assert_eq(withdraw.n_removed, 1);
    cr_expect_eq(enter(&subscriber, LEVEL_PLAIN, NULL), READER_LIVE);
    cr_expect_eq(reader_tail(&subscriber.session->reader), 1);
    node_fixture_turn();
    expect_answer(&subscriber);
    subscriber_expect_nothing(&subscriber);
    node_fixture_push("u", "2", 60);
    subscriber_expect(&subscriber, WS_TEXT, "2");
}
