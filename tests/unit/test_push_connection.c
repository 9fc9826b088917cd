/* A push with ttl 0 to one connection of a user: that session gets it and no other, and one that
 * nobody has is dropped. */
#include "gateway/requests/push.h"

#include "gateway/base/metrics.h"
#include "gateway/requests/questions.h"
#include "gateway/requests/requests.h"
#include "tests/support/node_fixture.h"
#include "tests/support/store_double.h"
#include "tests/support/subscriber.h"

#include <criterion/criterion.h>

static unsigned n_answers;
static struct subscriber first, second;

TestSuite(push_connection, .init = node_fixture_start, .fini = node_fixture_stop);

static void on_pushed(struct gateway_push *push)
{
    (void)push;
    n_answers++;
}

static struct gateway_target push_to(const char *user_id, uint64_t connection)
{
    struct gateway_target target = {.user_id = span_of(user_id)};
    struct gateway_push push = {.on_done = on_pushed,
                                .data = SPAN_LITERAL("7"),
                                .is_to_connection = true,
                                .connection = connection,
                                .targets = &target,
                                .n_targets = 1};
    n_answers = 0;
    gateway_push(&fixture.node, &push);
    for (int i = 0; i < 10 && n_answers == 0; i++)
        node_fixture_turn();
    cr_assert_eq(n_answers, 1, "%u answers", n_answers);
    return target;
}

static void expect_sent(struct gateway_target target, unsigned online, unsigned nodes)
{
    cr_expect_eq(target.error, ERR_OK);
    cr_expect_eq(target.online, online);
    cr_expect_eq(target.nodes, nodes);
    cr_expect_eq(target.seq, 0);
}

static void enter_both(void)
{
    subscriber_enter(&first, LEVEL_PLAIN, "u", NULL);
    subscriber_enter(&second, LEVEL_PLAIN, "u", NULL);
}

static void expect_second_alone(void)
{
    node_fixture_turn();
    subscriber_expect(&second, WS_TEXT, "7");
    subscriber_expect_nothing(&second);
    subscriber_expect_nothing(&first);
}

Test(push_connection, reaches_that_session_alone)
{
    int64_t sent = metrics_read(METRIC_PUSH_SENT);
    enter_both();
    expect_sent(push_to("u", second.session->id), 1, 1);
    expect_second_alone();
    cr_expect_eq(metrics_read(METRIC_PUSH_SENT), sent + 1);
}

Test(push_connection, is_dropped_where_nobody_has_the_connection)
{
    int64_t dropped = metrics_read(METRIC_PUSH_DROPPED);
    enter_both();
    expect_sent(push_to("u", second.session->id + 1), 0, 0);
    expect_sent(push_to("u", 0), 0, 0);
    expect_sent(push_to("nobody", second.session->id), 0, 0);
    cr_expect_eq(metrics_read(METRIC_PUSH_DROPPED), dropped + 3);
    node_fixture_turn();
    subscriber_expect_nothing(&first);
    subscriber_expect_nothing(&second);
}

Test(push_connection, keeps_its_place_among_pushes_to_the_user)
{
    enter_both();
    node_fixture_push("u", "1", 0);
    push_to("u", second.session->id);
    node_fixture_push("u", "2", 0);
    node_fixture_turn();
    subscriber_expect(&second, WS_TEXT, "1");
    subscriber_expect(&second, WS_TEXT, "7");
    subscriber_expect(&second, WS_TEXT, "2");
    subscriber_expect(&first, WS_TEXT, "1");
    subscriber_expect(&first, WS_TEXT, "2");
}

/* ---- a store that other nodes share ---- */

static void start_shared(void)
{
    node_fixture_start();
    store_double_start();
    store_double_set_shared();
}

TestSuite(push_connection_shared, .init = start_shared, .fini = node_fixture_stop);

Test(push_connection_shared, travels_through_the_store_and_reaches_that_session_once)
{
    enter_both();
    store_double_set_nodes(3);
    expect_sent(push_to("u", second.session->id), 1, 1);
    cr_expect_eq(store_double_count(STORE_OP_SEND), 1);
    expect_second_alone();
}

Test(push_connection_shared, reaches_the_session_here_while_the_store_is_away)
{
    enter_both();
    store_double_set_away(true);
    expect_sent(push_to("u", second.session->id), 1, 1);
    expect_sent(push_to("u", second.session->id + 1), 0, 0);
    expect_second_alone();
    store_double_set_away(false);
}

Test(push_connection_shared, that_this_node_was_not_told_of_reaches_its_session_too)
{
    enter_both();
    fixture.loses_events = true;
    store_double_set_nodes(2);
    store_double_set_unheard();
    expect_sent(push_to("u", second.session->id), 1, 1);
    expect_second_alone();
}

Test(push_connection_shared, asks_the_nodes_of_the_user_about_one_that_is_not_here)
{
    enter_both();
    store_double_set_nodes(1);
    expect_sent(push_to("u", second.session->id + 1), 0, 0);
    store_double_set_nodes(0);
    expect_sent(push_to("elsewhere", second.session->id), 0, 0);
    cr_expect_eq(store_double_count(STORE_OP_SEND), 2);
    node_fixture_turn();
    subscriber_expect_nothing(&first);
    subscriber_expect_nothing(&second);
}

static void on_told(struct store_question *question)
{
    (void)question;
    n_answers++;
}

static uint64_t count_of(uint64_t connection)
{
    struct store_user_question question = {
        .question = {.on_answer = on_told},
        .owner = &fixture.node,
        .user_id = SPAN_LITERAL("u"),
        .asked = {.kind = STORE_ASK_CONNECTION, .connection = connection}};
    n_answers = 0;
    questions_on_asked(&question);
    node_fixture_turn();
    cr_assert_eq(n_answers, 1);
    return question.question.count;
}

Test(push_connection, is_counted_for_the_node_that_asks)
{
    enter_both();
    cr_expect_eq(count_of(first.session->id), 1);
    cr_expect_eq(count_of(second.session->id), 1);
    cr_expect_eq(count_of(second.session->id + 1), 0);
}
