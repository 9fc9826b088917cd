/* Drains (FLEET 5 and 6), on one worker: which sessions are closed, when, and what is taken back.
 */
#include "gateway/requests/drain.h"

#include "gateway/base/metrics.h"
#include "gateway/delivery/replay.h"
#include "gateway/requests/nodes.h"
#include "gateway/requests/push_waits.h"
#include "gateway/requests/requests.h"
#include "gateway/session/session_auth.h"
#include "gateway/session/session_close.h"
#include "gateway/session/session_leaving.h"
#include "tests/support/node_fixture.h"
#include "tests/support/subscriber.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

enum { SESSIONS = 5 };

static struct subscriber subscribers[SESSIONS]; /* in the order in which they came */
static struct gateway_drain answer;
static unsigned n_answers;

static const worker_command_fn commands[COMMANDS] = {
    [COMMAND_STORE_IS_BACK] = replay_try_again,
    [COMMAND_DRAIN] = drain_apply,
    [COMMAND_END_WAITS] = push_waits_stop,
};

static void set_up(void)
{
    node_fixture_start();
    fixture.node.command_fns = commands;
    fixture.options.drain_time = 30000;
    fixture.options.drain_delay = 5000;
    fixture.options.silence_timeout = 100000; /* nobody answers a ping here */
    cr_assert_eq(nodes_new(&fixture.node, &fixture.node.nodes), ERR_OK);
    cr_assert_eq(drains_new(&fixture.node, &fixture.node.drains), ERR_OK);
}

static void tear_down(void)
{
    struct node_list *nodes = fixture.node.nodes;
    struct drains *drains = fixture.node.drains;
    node_fixture_stop();
    nodes_free(nodes);
    drains_free(drains);
}

TestSuite(drain, .init = set_up, .fini = tear_down);

static void enter_all(enum handshake_level level)
{
    for (unsigned i = 0; i < SESSIONS; i++) {
        char user[8];
        snprintf(user, sizeof user, "u%u", i);
        subscriber_enter(&subscribers[i], level, user, NULL);
        if (level == LEVEL_V1)
            subscriber_expect_start(&subscribers[i], "{\"type\":\"hello\"");
    }
}

static bool is_leaving(unsigned i)
{
    return subscribers[i].session->is_draining;
}

/* From now. */
static int32_t leaves_in_ms(unsigned i)
{
    return (int32_t)(subscribers[i].session->drain_at_ms - (uint32_t)node_fixture_now_ms());
}

static void on_answered(struct gateway_drain *drain)
{
    answer = *drain;
    n_answers++;
}

static struct gateway_drain drain;

/* A walk takes several turns. */
static void turn_through(void)
{
    for (unsigned i = 0; i < 100; i++)
        node_fixture_turn();
}

static void ask(struct gateway_drain wanted)
{
    unsigned before = n_answers;
    drain = wanted;
    drain.on_done = on_answered;
    gateway_drain(&fixture.node, &drain);
    turn_through();
    cr_assert_eq(n_answers, before + 1);
}

static void expect_answer(uint64_t closing, uint32_t ms)
{
    cr_expect_eq(answer.error, ERR_OK, "%s", error_title(answer.error));
    cr_expect_eq(answer.closing, closing);
    cr_expect_eq(answer.ms, ms);
    cr_expect_eq(metrics_read(METRIC_LEAVING), (int64_t)closing);
}

/* ---- POST /drain ---- */

Test(drain, of_all_spreads_them_over_the_time_and_refuses_new_ones)
{
    enter_all(LEVEL_PLAIN);
    ask((struct gateway_drain){0});
    expect_answer(SESSIONS, 30000);
    for (unsigned i = 0; i < SESSIONS; i++) {
        cr_expect_geq(leaves_in_ms(i), (int)i * 6000);
        cr_expect_leq(leaves_in_ms(i), (int)(i + 1) * 6000, "each has its share of the time");
    }
    cr_expect(atomic_load(&fixture.node.is_draining));
    cr_expect(atomic_load(&fixture.node.is_refusing));
    cr_expect_eq(metrics_read(METRIC_DRAINING), 1);
}

Test(drain, at_a_rate_takes_as_long_as_that_takes)
{
    enter_all(LEVEL_PLAIN);
    ask((struct gateway_drain){.rate = 2});
    expect_answer(SESSIONS, 2500);
    for (unsigned i = 0; i < SESSIONS; i++)
        cr_expect_leq(leaves_in_ms(i), (int)(i + 1) * 500);
}

Test(drain, of_some_takes_the_longest_connected_and_stays_ready)
{
    enter_all(LEVEL_PLAIN);
    ask((struct gateway_drain){.connections = 2, .rate = 4});
    expect_answer(2, 500);
    cr_expect(is_leaving(0) && is_leaving(1));
    cr_expect(!is_leaving(2) && !is_leaving(3) && !is_leaving(4));
    cr_expect_not(atomic_load(&fixture.node.is_draining));
    cr_expect_not(atomic_load(&fixture.node.is_refusing));
    node_fixture_wait_ms(600);
    subscriber_expect_close(&subscribers[0], 1012);
    subscriber_expect_close(&subscribers[1], 1012);
    cr_expect(session_is_open(subscribers[2].session));
    cr_expect_eq(metrics_read(METRIC_LEAVING), 0);
}

Test(drain, of_more_than_there_are_takes_all_and_stays_ready)
{
    enter_all(LEVEL_PLAIN);
    ask((struct gateway_drain){.connections = 100, .rate = 100});
    expect_answer(SESSIONS, 50);
    cr_expect_not(atomic_load(&fixture.node.is_draining));
}

Test(drain, of_nobody_takes_no_time)
{
    ask((struct gateway_drain){.connections = 3});
    expect_answer(0, 0);
    ask((struct gateway_drain){0});
    expect_answer(0, 0);
    cr_expect(atomic_load(&fixture.node.is_draining));
}

Test(drain, is_taken_back_with_readiness_and_clients_are_told)
{
    enter_all(LEVEL_V1);
    ask((struct gateway_drain){0});
    subscriber_expect_start(&subscribers[0], "{\"type\":\"goaway\"");
    ask((struct gateway_drain){.is_cancel = true});
    expect_answer(0, 0);
    subscriber_expect(&subscribers[0], WS_TEXT, "{\"type\":\"stay\"}");
    cr_expect_not(atomic_load(&fixture.node.is_draining));
    cr_expect_not(atomic_load(&fixture.node.is_refusing));
    cr_expect_eq(metrics_read(METRIC_DRAINING), 0);
    node_fixture_wait_ms(31000);
    for (unsigned i = 0; i < SESSIONS; i++)
        cr_expect(session_is_open(subscribers[i].session));
}

Test(drain, that_is_asked_for_again_keeps_the_moments_and_at_a_rate_sets_new_ones)
{
    int32_t before[SESSIONS];
    enter_all(LEVEL_PLAIN);
    ask((struct gateway_drain){0});
    for (unsigned i = 0; i < SESSIONS; i++)
        before[i] = leaves_in_ms(i);
    ask((struct gateway_drain){0});
    expect_answer(SESSIONS, 30000);
    for (unsigned i = 0; i < SESSIONS; i++)
        cr_expect_eq(leaves_in_ms(i), before[i]);
    ask((struct gateway_drain){.rate = 1000});
    expect_answer(SESSIONS, 5);
    for (unsigned i = 0; i < SESSIONS; i++)
        cr_expect_leq(leaves_in_ms(i), 5);
    ask((struct gateway_drain){.rate = 1});
    expect_answer(SESSIONS, 5000);
    for (unsigned i = 0; i < SESSIONS; i++)
        cr_expect_geq(leaves_in_ms(i), (int)i * 1000, "a lower one slows it down");
    ask((struct gateway_drain){.rate = 3});
    expect_answer(SESSIONS, 1667);
}

/* The last one counts. */
Test(drain, of_fewer_lets_the_others_stay)
{
    enter_all(LEVEL_PLAIN);
    ask((struct gateway_drain){.connections = 4});
    expect_answer(4, 30000);
    ask((struct gateway_drain){.connections = 1});
    expect_answer(1, 30000);
    cr_expect(is_leaving(0));
    cr_expect_not(is_leaving(1));
}

Test(drain, of_some_is_refused_while_all_are_closed)
{
    enter_all(LEVEL_PLAIN);
    ask((struct gateway_drain){0});
    ask((struct gateway_drain){.connections = 1});
    cr_expect_eq(answer.error, ERR_CONFLICT);
    cr_expect_not(answer.is_ending);
    cr_expect_eq(metrics_read(METRIC_LEAVING), SESSIONS);
}

Test(drain, that_would_take_more_than_a_week_is_refused)
{
    unsigned n_sessions = atomic_load(&fixture.node.n_sessions);
    atomic_store(&fixture.node.n_sessions, 700000);
    ask((struct gateway_drain){.rate = 1});
    cr_expect_eq(answer.error, ERR_INVALID_FIELD);
    cr_expect_not(atomic_load(&fixture.node.is_draining));
    ask((struct gateway_drain){.rate = 1, .connections = GATEWAY_DRAIN_MAX_S + 1});
    cr_expect_eq(answer.error, ERR_INVALID_FIELD);
    ask((struct gateway_drain){.rate = 1, .connections = GATEWAY_DRAIN_MAX_S});
    cr_expect_eq(answer.error, ERR_OK);
    atomic_store(&fixture.node.n_sessions, 699999);
    ask((struct gateway_drain){.rate = 2, .connections = 2 * GATEWAY_DRAIN_MAX_S});
    cr_expect_eq(answer.error, ERR_OK, "there are not so many");
    atomic_store(&fixture.node.n_sessions, n_sessions);
}

Test(drain, closes_those_who_have_not_said_who_they_are_and_counts_them)
{
    const struct claim nobody = {0};
    enter_all(LEVEL_V1);
    struct subscriber *stranger = malloc(sizeof *stranger);
    cr_assert_not_null(stranger);
    subscriber_open(stranger, (struct admission){.level = LEVEL_V1, .is_page = true});
    cr_assert_eq(session_await_auth(stranger->session, &nobody), ERR_OK);
    ask((struct gateway_drain){.connections = SESSIONS});
    expect_answer(SESSIONS, 30000);
    cr_expect_not(stranger->session->is_draining, "it has come last");
    ask((struct gateway_drain){.rate = 2});
    expect_answer(SESSIONS + 1, 3000);
    cr_expect(stranger->session->is_draining);
    subscriber_expect_start(stranger, "{\"type\":\"goaway\"");
    free(stranger);
}

/* It may be closed because of its age soon, or not; the drain is sure. */
Test(drain, comes_before_the_age_of_a_session)
{
    fixture.options.max_session_age = 60000;
    fixture.options.silence_timeout = fixture.options.ping_interval = 3600000;
    enter_all(LEVEL_PLAIN);
    for (unsigned i = 0; i < 1000 && !subscribers[0].session->is_aging; i++)
        node_fixture_wait_ms(100);
    cr_assert(subscribers[0].session->is_aging);
    ask((struct gateway_drain){0});
    expect_answer(fixture.node.n_sessions, 30000);
    cr_expect(is_leaving(0));
    cr_expect_not(subscribers[0].session->is_aging);
}

/* The sessions are counted, or get their moments, when it is taken back. */
Test(drain, that_is_taken_back_within_it_closes_nobody)
{
    unsigned n_refused = 0;
    node_fixture_enter_clients(1000);
    enter_all(LEVEL_PLAIN);
    for (unsigned n_turns = 0; n_turns < 30; n_turns++) {
        struct gateway_drain all = {.on_done = on_answered};
        struct gateway_drain cancel = {.on_done = on_answered, .is_cancel = true};
        unsigned before = n_answers;
        gateway_drain(&fixture.node, &all);
        for (unsigned i = 0; i < n_turns; i++)
            reactor_turn(fixture.worker->reactor, 0);
        gateway_drain(&fixture.node, &cancel);
        turn_through();
        cr_assert_eq(n_answers, before + 2);
        cr_expect_eq(cancel.error, ERR_OK);
        cr_expect_eq(all.error, all.is_cancelled ? ERR_CONFLICT : ERR_OK);
        n_refused += all.is_cancelled;
        cr_assert_eq(metrics_read(METRIC_LEAVING), 0, "after %u turns", n_turns);
        cr_assert_not(atomic_load(&fixture.node.is_draining));
    }
    cr_expect(n_refused > 1 && n_refused < 30, "%u", n_refused);
    node_fixture_leave_clients();
}

/* More clients than a slice has. */
Test(drain, goes_through_all_clients_in_slices)
{
    node_fixture_enter_clients(1000);
    enter_all(LEVEL_PLAIN);
    drain = (struct gateway_drain){.on_done = on_answered};
    gateway_drain(&fixture.node, &drain);
    reactor_turn(fixture.worker->reactor, 0);
    cr_expect_eq(n_answers, 0, "other work has its turn");
    turn_through();
    expect_answer(SESSIONS, 30000);
    node_fixture_leave_clients();
}

/* ---- SIGTERM ---- */

Test(drain, of_sigterm_gives_balancers_a_time_in_which_nobody_is_refused)
{
    enter_all(LEVEL_PLAIN);
    cr_expect_eq(drain_announce(&fixture.node), 5000);
    turn_through();
    cr_expect(atomic_load(&fixture.node.is_draining));
    cr_expect_not(atomic_load(&fixture.node.is_refusing));
    cr_expect_eq(metrics_read(METRIC_LEAVING), 0);
    node_fixture_wait_ms(5000);
    drain_begin(&fixture.node, 1000);
    turn_through();
    cr_expect_not(atomic_load(&fixture.node.is_refusing));
    for (unsigned i = 0; i < SESSIONS; i++)
        cr_expect(is_leaving(i) && leaves_in_ms(i) <= 1000);
}

Test(drain, of_sigterm_does_not_wait_for_balancers_that_know_already)
{
    ask((struct gateway_drain){0});
    node_fixture_wait_ms(3000);
    cr_expect_eq(drain_announce(&fixture.node), 2000);
    node_fixture_wait_ms(3000);
    cr_expect_eq(drain_announce(&fixture.node), 0);
}

Test(drain, of_sigterm_ends_a_slow_one_in_its_own_time)
{
    enter_all(LEVEL_PLAIN);
    ask((struct gateway_drain){.connections = 3, .rate = 1});
    int32_t first = leaves_in_ms(0);
    drain_begin(&fixture.node, 1000);
    turn_through();
    cr_expect_eq(leaves_in_ms(0), first, "within the time");
    for (unsigned i = 1; i < SESSIONS; i++)
        cr_expect(is_leaving(i) && leaves_in_ms(i) <= 1000);
}

/* The count of the sessions has begun, and its plan must not come behind that of the stop. */
Test(drain, of_sigterm_comes_before_one_that_is_being_asked_for)
{
    enter_all(LEVEL_PLAIN);
    drain = (struct gateway_drain){.on_done = on_answered, .rate = 1};
    gateway_drain(&fixture.node, &drain);
    drain_begin(&fixture.node, 1000);
    turn_through();
    cr_expect_eq(n_answers, 1);
    cr_expect_eq(answer.error, ERR_CONFLICT);
    cr_expect(answer.is_ending);
    cr_expect_not(answer.is_cancelled);
    for (unsigned i = 0; i < SESSIONS; i++)
        cr_expect(is_leaving(i) && leaves_in_ms(i) <= 1000);
}

Test(drain, of_sigterm_cannot_be_taken_back)
{
    enter_all(LEVEL_PLAIN);
    drain_announce(&fixture.node);
    static const struct gateway_drain wanted[] = {{.is_cancel = true}, {.connections = 1}, {0}};
    for (unsigned i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        ask(wanted[i]);
        cr_expect_eq(answer.error, ERR_CONFLICT);
        cr_expect(answer.is_ending);
    }
    cr_expect(atomic_load(&fixture.node.is_draining));
    cr_expect_not(atomic_load(&fixture.node.is_refusing));
}

/* Which session a drain closes that is on its way to its home. */
Test(drain, closes_whom_it_meets_on_the_way_if_it_is_of_all)
{
    const struct admission admission = {0};
    ask((struct gateway_drain){.connections = 1});
    subscriber_enter(&subscribers[0], LEVEL_PLAIN, "u", NULL);
    drain_arrived(subscribers[0].session, &admission);
    cr_expect_not(is_leaving(0));
    ask((struct gateway_drain){0});
    subscriber_enter(&subscribers[1], LEVEL_PLAIN, "v", NULL);
    drain_arrived(subscribers[1].session, &admission);
    cr_expect(is_leaving(1));
}

/* It was told of its moment before it was on its way. */
Test(drain, that_is_taken_back_lets_whom_it_meets_on_the_way_stay)
{
    ask((struct gateway_drain){0});
    ask((struct gateway_drain){.is_cancel = true});
    subscriber_enter(&subscribers[0], LEVEL_V1, "u", NULL);
    subscriber_expect_start(&subscribers[0], "{\"type\":\"hello\"");
    const struct admission told = {.is_draining = true,
                                   .drain_at_ms = (uint32_t)node_fixture_now_ms() + 5000};
    drain_arrived(subscribers[0].session, &told);
    node_fixture_turn();
    subscriber_expect(&subscribers[0], WS_TEXT, "{\"type\":\"stay\"}");
    cr_expect_not(is_leaving(0));
    cr_expect_eq(metrics_read(METRIC_LEAVING), 0);
}

/* ---- the defaults ---- */

Test(drain, takes_a_second_where_no_other_node_is)
{
    fixture.options.drain_time = OPTION_AUTO;
    fixture.options.drain_delay = OPTION_AUTO;
    cr_expect_eq(drain_time_ms(&fixture.node), 1000);
    cr_expect_eq(drain_announce(&fixture.node), 0);
}
