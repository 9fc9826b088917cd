/* A push with ttl 0 where other nodes share the store (CONTRACT 3): it goes through the store, and
 * reaches the sessions of this node once, whatever the store says. */
#include "gateway/requests/push.h"

#include "gateway/base/metrics.h"
#include "gateway/requests/requests.h"
#include "tests/support/node_fixture.h"
#include "tests/support/store_double.h"
#include "tests/support/subscriber.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

enum { MANY_TARGETS = 2500, NAME_BYTES = 16 };

static unsigned n_answers;
static struct subscriber subscriber;

static void start(void)
{
    node_fixture_start();
    store_double_start();
    store_double_set_shared();
}

TestSuite(push_shared, .init = start, .fini = node_fixture_stop);

static void on_pushed(struct gateway_push *push)
{
    (void)push;
    n_answers++;
}

static void push_to(struct gateway_target *targets, size_t n)
{
    struct gateway_push push = {
        .on_done = on_pushed, .data = SPAN_LITERAL("7"), .targets = targets, .n_targets = n};
    n_answers = 0;
    gateway_push(&fixture.node, &push);
    node_fixture_turn();
    for (int i = 0; i < 100 && n_answers == 0; i++)
        node_fixture_turn();
    cr_assert_eq(n_answers, 1, "%u answers", n_answers);
}

Test(push_shared, of_ttl_0_is_sent_through_the_store_and_counts_its_nodes)
{
    struct gateway_target target = {.user_id = SPAN_LITERAL("u")};
    int64_t sent = metrics_read(METRIC_PUSH_SENT);
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    store_double_set_nodes(3);
    push_to(&target, 1);
    cr_expect_eq(target.error, ERR_OK);
    cr_expect_eq(target.nodes, 3);
    cr_expect_eq(target.online, 1);
    cr_expect_eq(target.seq, 0);
    cr_expect_eq(store_double_count(STORE_OP_SEND), 1);
    cr_expect_eq(store_double_count(STORE_OP_APPEND), 0);
    cr_expect_eq(metrics_read(METRIC_PUSH_SENT), sent + 1);
    subscriber_expect(&subscriber, WS_TEXT, "7");
    subscriber_expect_nothing(&subscriber);
}

Test(push_shared, of_ttl_0_to_a_user_who_is_elsewhere_is_sent)
{
    struct gateway_target target = {.user_id = SPAN_LITERAL("u")};
    store_double_set_nodes(1);
    push_to(&target, 1);
    cr_expect_eq(target.nodes, 1);
    cr_expect_eq(target.online, 0);
    store_double_set_nodes(0);
    push_to(&target, 1);
    cr_expect_eq(target.nodes, 0);
}

Test(push_shared, of_ttl_0_reaches_the_sessions_here_while_the_store_is_away)
{
    struct gateway_target targets[] = {{.user_id = SPAN_LITERAL("nobody")},
                                       {.user_id = SPAN_LITERAL("u")}};
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    store_double_set_away(true);
    push_to(targets, 2);
    cr_expect_eq(targets[0].error, ERR_OK);
    cr_expect_eq(targets[0].nodes, 0);
    cr_expect_eq(targets[1].error, ERR_OK);
    cr_expect_eq(targets[1].nodes, 1);
    cr_expect_eq(targets[1].online, 1);
    subscriber_expect(&subscriber, WS_TEXT, "7");
    subscriber_expect_nothing(&subscriber);
    push_to(targets + 1, 1);
    subscriber_expect(&subscriber, WS_TEXT, "7");
    store_double_set_away(false);
}

/* Its subscription is refused, or not there yet. */
Test(push_shared, of_ttl_0_that_no_node_has_received_reaches_the_sessions_here)
{
    struct gateway_target target = {.user_id = SPAN_LITERAL("u")};
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    fixture.loses_events = true;
    store_double_set_nodes(0);
    push_to(&target, 1);
    cr_expect_eq(target.nodes, 1);
    cr_expect_eq(target.online, 1);
    subscriber_expect(&subscriber, WS_TEXT, "7");
}

/* As above, and other nodes have received it. */
Test(push_shared, of_ttl_0_that_this_node_was_not_told_of_reaches_its_sessions_too)
{
    struct gateway_target targets[] = {{.user_id = SPAN_LITERAL("elsewhere")},
                                       {.user_id = SPAN_LITERAL("u")}};
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    fixture.loses_events = true;
    store_double_set_nodes(2);
    store_double_set_unheard();
    push_to(targets, 2);
    cr_expect_eq(targets[0].nodes, 2);
    cr_expect_eq(targets[0].online, 0);
    cr_expect_eq(targets[1].nodes, 3);
    cr_expect_eq(targets[1].online, 1);
    subscriber_expect(&subscriber, WS_TEXT, "7");
    subscriber_expect_nothing(&subscriber);
}

Test(push_shared, of_ttl_0_to_many_is_answered_for_each)
{
    struct gateway_target *targets = calloc(MANY_TARGETS, sizeof *targets);
    char(*names)[NAME_BYTES] = calloc(MANY_TARGETS, sizeof *names);
    for (unsigned i = 0; i < MANY_TARGETS; i++) {
        snprintf(names[i], sizeof names[i], "u%u", i);
        targets[i].user_id = span_of(names[i]);
    }
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u2000", NULL);
    store_double_set_nodes(2);
    push_to(targets, MANY_TARGETS);
    for (unsigned i = 0; i < MANY_TARGETS; i++) {
        cr_assert_eq(targets[i].error, ERR_OK);
        cr_assert_eq(targets[i].nodes, 2);
        cr_assert_eq(targets[i].online, i == 2000);
    }
    subscriber_expect(&subscriber, WS_TEXT, "7");
    store_double_set_away(true);
    push_to(targets, MANY_TARGETS);
    for (unsigned i = 0; i < MANY_TARGETS; i++)
        cr_assert_eq(targets[i].nodes, i == 2000);
    subscriber_expect(&subscriber, WS_TEXT, "7");
    subscriber_expect_nothing(&subscriber);
    store_double_set_away(false);
    free(names);
    free(targets);
}
