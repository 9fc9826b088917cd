/* A push (CONTRACT 3): to the store, or with ttl 0 straight to the sessions of this node. */
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

TestSuite(push, .init = node_fixture_start, .fini = node_fixture_stop);

static void on_pushed(struct gateway_push *push)
{
    (void)push;
    n_answers++;
}

/* One to many takes a turn a slice. */
static void await_answer(void)
{
    node_fixture_turn();
    for (int i = 0; i < 100 && n_answers == 0; i++)
        node_fixture_turn();
    cr_assert_eq(n_answers, 1, "%u answers", n_answers);
}

static void push_to(struct gateway_target *targets, size_t n, struct gateway_push push)
{
    push.on_done = on_pushed;
    push.targets = targets;
    push.n_targets = n;
    n_answers = 0;
    gateway_push(&fixture.node, &push);
    await_answer();
}

/* CONTRACT 3: with ttl 0 the store is not touched, so there is neither number nor epoch. */
Test(push, of_ttl_0_reaches_the_sessions_that_are_open_and_nobody_later)
{
    static struct subscriber late;
    struct gateway_target targets[] = {{.user_id = SPAN_LITERAL("u")},
                                       {.user_id = SPAN_LITERAL("nobody")}};
    int64_t dropped = metrics_read(METRIC_PUSH_DROPPED);
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    push_to(targets, 2, (struct gateway_push){.data = SPAN_LITERAL("7")});
    subscriber_expect(&subscriber, WS_TEXT, "7");
    cr_expect_eq(targets[0].error, ERR_OK);
    cr_expect_eq(targets[0].online, 1);
    cr_expect_eq(targets[0].nodes, 1);
    cr_expect_eq(targets[0].seq, 0);
    cr_expect(epoch_is_none(targets[0].epoch));
    cr_expect_eq(targets[1].error, ERR_OK);
    cr_expect_eq(targets[1].online, 0);
    cr_expect_eq(targets[1].nodes, 0);
    cr_expect_eq(metrics_read(METRIC_PUSH_DROPPED), dropped + 1);
    subscriber_enter(&late, LEVEL_PLAIN, "u", NULL);
    subscriber_expect_nothing(&late);
}

Test(push, of_ttl_0_is_answered_without_a_store)
{
    struct gateway_target target = {.user_id = SPAN_LITERAL("u")};
    node_fixture_set_store_full(true);
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    push_to(&target, 1, (struct gateway_push){.data = SPAN_LITERAL("7")});
    cr_expect_eq(target.error, ERR_OK);
    subscriber_expect(&subscriber, WS_TEXT, "7");
}

Test(push, gives_each_target_a_number_and_the_sessions_of_its_user)
{
    static struct subscriber second;
    struct gateway_target targets[] = {{.user_id = SPAN_LITERAL("u")},
                                       {.user_id = SPAN_LITERAL("away")},
                                       {.user_id = SPAN_LITERAL("u")}};
    int64_t sent = metrics_read(METRIC_PUSH_SENT);
    int64_t stored = metrics_read(METRIC_PUSH_STORED);
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    subscriber_enter(&second, LEVEL_PLAIN, "u", NULL);
    push_to(targets, 3, (struct gateway_push){.data = SPAN_LITERAL("7"), .ttl_s = 60});
    cr_expect_eq(targets[0].seq, 1);
    cr_expect_eq(targets[1].seq, 1);
    cr_expect_eq(targets[2].seq, 2);
    cr_expect_eq(targets[0].online, 2);
    cr_expect_eq(targets[0].nodes, 1);
    cr_expect_eq(targets[1].online, 0);
    cr_expect_eq(targets[1].nodes, 0);
    cr_expect_eq(targets[0].expires_ms, NODE_FIXTURE_WALL_MS + node_fixture_now_ms() + 60000);
    cr_expect_eq(metrics_read(METRIC_PUSH_SENT), sent + 2);
    cr_expect_eq(metrics_read(METRIC_PUSH_STORED), stored + 1);
}

/* More targets than go to the store as one request: one answer, and none is left out. */
Test(push, to_thousands_of_users_is_answered_once_and_kept_for_each)
{
    struct gateway_target *targets = calloc(MANY_TARGETS, sizeof *targets);
    char(*names)[NAME_BYTES] = calloc(MANY_TARGETS, sizeof *names);
    for (unsigned i = 0; i < MANY_TARGETS; i++) {
        snprintf(names[i], sizeof names[i], "u%u", i);
        targets[i].user_id = span_of(names[i]);
    }
    push_to(targets, MANY_TARGETS, (struct gateway_push){.data = SPAN_LITERAL("7"), .ttl_s = 60});
    for (unsigned i = 0; i < MANY_TARGETS; i++)
        cr_assert(targets[i].error == ERR_OK && targets[i].seq == 1, "%s", names[i]);
    free(names);
    free(targets);
}

Test(push, that_the_store_cannot_keep_is_refused_and_counted)
{
    struct gateway_target target = {.user_id = SPAN_LITERAL("u")};
    int64_t failed = metrics_read(METRIC_PUSH_FAILED);
    node_fixture_set_store_full(true);
    push_to(&target, 1, (struct gateway_push){.data = SPAN_LITERAL("7"), .ttl_s = 60});
    cr_expect_eq(target.error, ERR_STORE_UNAVAILABLE, "%s", error_title(target.error));
    cr_expect_eq(metrics_read(METRIC_PUSH_FAILED), failed + 1);
}

/* CONTRACT 3, the idempotency key. */
Test(push, of_the_same_key_is_kept_once_and_another_of_that_key_is_refused)
{
    struct gateway_target first = {.user_id = SPAN_LITERAL("u")};
    struct gateway_target again = first;
    struct gateway_target other = first;
    struct gateway_push push = {
        .data = SPAN_LITERAL("7"), .ttl_s = 60, .idempotency_key = SPAN_LITERAL("key")};
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    push_to(&first, 1, push);
    push_to(&again, 1, push);
    cr_expect_not(first.is_duplicate);
    cr_expect(again.is_duplicate);
    cr_expect_eq(again.seq, first.seq);
    cr_expect_eq(again.error, ERR_OK);
    push.data = SPAN_LITERAL("8");
    push_to(&other, 1, push);
    cr_expect_eq(other.error, ERR_IDEMPOTENCY_MISMATCH);
    push.data = SPAN_LITERAL("7");
    push.ttl_s = 61;
    push_to(&other, 1, push);
    cr_expect_eq(other.error, ERR_IDEMPOTENCY_MISMATCH);
    subscriber_expect(&subscriber, WS_TEXT, "7");
    subscriber_expect(&subscriber, WS_PING, "1");
    subscriber_expect_nothing(&subscriber);
}

/* CONTRACT 3: a node that drains takes pushes until it stops, and keeps them. */
Test(push, is_kept_while_the_node_drains)
{
    struct gateway_target target = {.user_id = SPAN_LITERAL("u")};
    atomic_store(&fixture.node.drain_ends_ms, node_fixture_now_ms() + 1000);
    atomic_store(&fixture.node.is_draining, true);
    push_to(&target, 1, (struct gateway_push){.data = SPAN_LITERAL("7"), .ttl_s = 60});
    cr_expect_eq(target.error, ERR_OK);
    cr_expect_eq(target.seq, 1);
}

/* ---- ttl 0 to many ---- */

enum { FAN_OUT = 4 * GATEWAY_AT_ONCE + 10 };

static struct gateway_target *targets_of_clients(unsigned n)
{
    static char names[FAN_OUT][NAME_BYTES];
    static struct gateway_target targets[FAN_OUT];
    for (unsigned i = 0; i < n; i++) {
        snprintf(names[i], sizeof names[i], "c%u", i);
        targets[i] = (struct gateway_target){.user_id = span_of(names[i]), .error = ERR_SYSTEM};
    }
    return targets;
}

static unsigned n_answers_between;

static void on_other_work(struct letter *letter)
{
    (void)letter;
    n_answers_between = n_answers;
}

/* What comes after it is done between two of its slices. */
Test(push, of_ttl_0_to_many_lets_other_work_through_and_is_answered_once)
{
    struct letter letter = {0};
    struct gateway_target *targets = targets_of_clients(FAN_OUT);
    struct gateway_push push = {
        .on_done = on_pushed, .data = SPAN_LITERAL("7"), .n_targets = FAN_OUT, .targets = targets};
    int64_t sent = metrics_read(METRIC_PUSH_SENT);
    int64_t dropped = metrics_read(METRIC_PUSH_DROPPED);
    worker_be_here(fixture.worker);
    node_fixture_enter_clients(FAN_OUT - 50);
    n_answers = 0;
    n_answers_between = 99;
    gateway_push(&fixture.node, &push);
    cr_expect_eq(n_answers, 0);
    worker_post(fixture.worker, &letter, on_other_work);
    await_answer();
    cr_expect_eq(n_answers_between, 0, "it waited for the whole push");
    for (unsigned i = 0; i < FAN_OUT; i++)
        cr_assert(targets[i].error == ERR_OK && targets[i].seq == 0, "%u", i);
    cr_expect_eq(metrics_read(METRIC_PUSH_SENT), sent + FAN_OUT - 50);
    cr_expect_eq(metrics_read(METRIC_PUSH_DROPPED), dropped + 50);
    node_fixture_leave_clients();
}

Test(push, of_ttl_0_to_many_reaches_each_session_as_often_as_its_user_is_named)
{
    static struct subscriber second;
    struct gateway_target *targets = targets_of_clients(FAN_OUT);
    worker_be_here(fixture.worker);
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    subscriber_enter(&second, LEVEL_PLAIN, "v", NULL);
    targets[0].user_id = targets[FAN_OUT - 1].user_id = SPAN_LITERAL("u");
    targets[FAN_OUT / 2].user_id = SPAN_LITERAL("v");
    push_to(targets, FAN_OUT, (struct gateway_push){.data = SPAN_LITERAL("7")});
    subscriber_expect(&subscriber, WS_TEXT, "7");
    subscriber_expect(&subscriber, WS_TEXT, "7");
    subscriber_expect_nothing(&subscriber);
    subscriber_expect(&second, WS_TEXT, "7");
    subscriber_expect_nothing(&second);
    cr_expect_eq(targets[0].online, 1);
    cr_expect_eq(targets[FAN_OUT / 2].nodes, 1);
    cr_expect_eq(targets[1].online, 0);
}

/* Of thousands, many may leave between two slices. */
Test(push, of_ttl_0_to_many_finds_those_who_are_there_when_their_turn_comes)
{
    struct gateway_target *targets = targets_of_clients(FAN_OUT);
    struct gateway_push push = {
        .on_done = on_pushed, .data = SPAN_LITERAL("7"), .n_targets = FAN_OUT, .targets = targets};
    targets[FAN_OUT - 1].user_id = SPAN_LITERAL("u");
    worker_be_here(fixture.worker);
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    node_fixture_enter_clients(FAN_OUT);
    n_answers = 0;
    gateway_push(&fixture.node, &push);
    reactor_turn(fixture.worker->reactor, 0);
    cr_assert_eq(n_answers, 0);
    node_fixture_leave_clients();
    await_answer();
    subscriber_expect(&subscriber, WS_TEXT, "7");
    cr_expect_eq(targets[FAN_OUT - 1].online, 1);
    cr_expect_eq(targets[FAN_OUT - 2].online, 0);
}

/* ---- several at once ---- */

enum { TOGETHER = 4 };

static void forget_pushed(struct gateway_push *push)
{
    n_answers++;
    memset(push, 0xa5, sizeof *push); /* one that is answered is its caller's */
}

/* As if each had come by itself, but the store is asked once. */
Test(push, of_several_at_once_are_answered_each_and_asked_of_the_store_together)
{
    static struct gateway_push pushes[TOGETHER];
    struct gateway_target many[] = {{.user_id = SPAN_LITERAL("v")}, {.user_id = SPAN_LITERAL("u")}};
    struct gateway_target targets[TOGETHER - 1] = {{.user_id = SPAN_LITERAL("u")},
                                                   {.user_id = SPAN_LITERAL("u")},
                                                   {.user_id = SPAN_LITERAL("u")}};
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    store_double_start();
    for (unsigned i = 0; i < TOGETHER; i++) {
        pushes[i] = (struct gateway_push){.on_done = forget_pushed,
                                          .data = SPAN_LITERAL("7"),
                                          .ttl_s = i == 1 ? 0 : 60,
                                          .n_targets = 1,
                                          .targets = &targets[i < 3 ? i : 0],
                                          .next = i + 1 < TOGETHER ? &pushes[i + 1] : NULL};
    }
    pushes[3].n_targets = 2;
    pushes[3].targets = many;
    n_answers = 0;
    gateway_push_many(&fixture.node, pushes);
    cr_expect_eq(n_answers, 1, "ttl 0 does not wait for the store");
    node_fixture_turn();
    cr_assert_eq(n_answers, TOGETHER, "%u answers", n_answers);
    cr_expect_eq(store_double_calls(STORE_OP_APPEND), 1);
    cr_expect_eq(store_double_count(STORE_OP_APPEND), 3);
    cr_expect_eq(targets[0].seq, 1);
    cr_expect_eq(targets[1].seq, 0);
    cr_expect_eq(targets[2].seq, 2);
    cr_expect_eq(many[0].seq, 1);
    cr_expect_eq(many[1].seq, 3);
    cr_expect_eq(many[1].online, 1);
}

Test(push, of_several_at_once_that_have_ttl_0_do_not_ask_the_store)
{
    struct gateway_target targets[] = {{.user_id = SPAN_LITERAL("u")},
                                       {.user_id = SPAN_LITERAL("u")}};
    struct gateway_push second = {.on_done = forget_pushed,
                                  .data = SPAN_LITERAL("8"),
                                  .n_targets = 1,
                                  .targets = &targets[1]};
    struct gateway_push first = {.on_done = forget_pushed,
                                 .data = SPAN_LITERAL("7"),
                                 .n_targets = 1,
                                 .targets = &targets[0],
                                 .next = &second};
    subscriber_enter(&subscriber, LEVEL_PLAIN, "u", NULL);
    store_double_start();
    n_answers = 0;
    gateway_push_many(&fixture.node, &first);
    node_fixture_turn();
    cr_expect_eq(n_answers, 2);
    cr_expect_eq(store_double_calls(STORE_OP_APPEND), 0);
    subscriber_expect(&subscriber, WS_TEXT, "7");
    subscriber_expect(&subscriber, WS_TEXT, "8");
}
