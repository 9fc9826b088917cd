/* The nodes of the fleet, with a store of the test's own that is shared: what this node says and
 * when, and what it makes of what the others have said. */
#include "gateway/requests/nodes.h"

#include "gateway/base/metrics.h"
#include "gateway/store/store_backend.h"
#include "tests/support/captured_log.h"
#include "tests/support/node_fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct store *own_store;
static struct store_nodes *asked; /* under way */
static unsigned n_asked;

static void take_question(struct store *store, struct store_nodes *nodes)
{
    (void)store;
    cr_assert_null(asked);
    asked = nodes;
    n_asked++;
}

static int64_t now_ms(const struct store *store)
{
    (void)store;
    return NODE_FIXTURE_WALL_MS + node_fixture_now_ms();
}

static const struct store_ops ops = {
    .kind = "shared", .is_shared = true, .nodes = take_question, .now_ms = now_ms};
static struct store shared = {&ops};

static void set_up(void)
{
    node_fixture_start();
    cr_assert_eq(nodes_new(&fixture.node, &fixture.node.nodes), ERR_OK);
    memcpy(fixture.node.name, "a", 2);
    fixture.node.started_ms = node_fixture_now_ms();
    own_store = fixture.node.store;
    fixture.node.store = &shared;
}

static void tear_down(void)
{
    fixture.node.store = own_store;
    node_fixture_stop();
    nodes_free(fixture.node.nodes);
}

TestSuite(nodes, .init = set_up, .fini = tear_down);

static struct store_node other_node(const char *name, const char *node, int64_t seen_ago_ms)
{
    struct store_node other = {.version = "9.9", .connections = 5, .users = 4, .is_store_up = true};
    memcpy(other.name.text, name, EPOCH_LEN);
    snprintf(other.node, sizeof other.node, "%s", node);
    other.seen_ms = now_ms(NULL) - seen_ago_ms;
    other.started_ms = other.seen_ms - 1000;
    return other;
}

/* The question under way is answered with these, and with what it says itself. */
static void answer_with_all(const struct store_node *others, size_t n)
{
    struct store_nodes *answered = asked;
    cr_assert_not_null(answered);
    asked = NULL;
    answered->nodes = calloc(n + 1, sizeof *answered->nodes);
    cr_assert_not_null(answered->nodes);
    memcpy(answered->nodes, others, n * sizeof *others);
    answered->nodes[n] = answered->self;
    answered->n = n + 1;
    answered->error = ERR_OK;
    answered->request.on_done(&answered->request);
}

static void answer_with(struct store_node other)
{
    answer_with_all(&other, 1);
}

static void answer_nothing(void)
{
    struct store_nodes *answered = asked;
    cr_assert_not_null(answered);
    asked = NULL;
    answered->error = ERR_STORE_UNAVAILABLE;
    answered->request.on_done(&answered->request);
}

static unsigned n_done;

static void on_done(struct gateway_nodes *nodes)
{
    (void)nodes;
    n_done++;
}

static void set_store_up(bool is_up)
{
    atomic_store(&fixture.node.is_store_up, is_up);
}

/* Without asking the store. */
static void look(struct gateway_nodes *nodes)
{
    unsigned before = n_done;
    bool was_up = atomic_load(&fixture.node.is_store_up);
    set_store_up(false);
    *nodes = (struct gateway_nodes){.on_done = on_done};
    gateway_nodes(&fixture.node, nodes);
    set_store_up(was_up);
    cr_assert_eq(n_done, before + 1);
    cr_assert_eq(nodes->error, ERR_OK);
}

Test(nodes, with_a_store_of_its_own_is_this_one_alone)
{
    struct gateway_nodes nodes = {.on_done = on_done};
    fixture.node.store = own_store;
    node_fixture_enter_clients(3);
    gateway_nodes(&fixture.node, &nodes);
    nodes_say(fixture.worker);
    cr_assert_eq(n_done, 1);
    cr_assert_eq(nodes.n, 1);
    cr_expect(nodes.nodes[0].is_self);
    cr_expect_eq(nodes.nodes[0].state, GATEWAY_NODE_UP);
    cr_expect_str_eq(nodes.nodes[0].said.node, "a");
    cr_expect_str_eq(nodes.nodes[0].said.version, HERALD_VERSION);
    cr_expect_eq(nodes.users, 3);
    cr_expect_eq(metrics_read(METRIC_NODES_UP), 1);
    free(nodes.nodes);
    node_fixture_leave_clients();
    cr_expect_eq(n_asked, 0);
}

Test(nodes, are_told_of_this_one_each_5_s)
{
    nodes_say(fixture.worker);
    cr_assert_eq(n_asked, 1);
    cr_expect_str_eq(asked->self.node, "a");
    cr_expect_not(asked->is_leaving);
    node_fixture_stall_ms(5000);
    nodes_say(fixture.worker); /* the first is not answered yet */
    answer_nothing();
    nodes_say(fixture.worker);
    cr_assert_eq(n_asked, 2);
    answer_nothing();
    node_fixture_stall_ms(4999);
    nodes_say(fixture.worker);
    cr_expect_eq(n_asked, 2);
    node_fixture_stall_ms(1);
    nodes_say(fixture.worker);
    cr_expect_eq(n_asked, 3);
    answer_nothing();
    node_fixture_stall_ms(5000);
    set_store_up(false);
    nodes_say(fixture.worker);
    cr_expect_eq(n_asked, 3);
}

Test(nodes, say_how_many_pushes_came_each_second_since_they_said_it_last)
{
    nodes_say(fixture.worker);
    cr_expect_eq(asked->self.pushes_per_second, 0);
    answer_nothing();
    metrics_add(METRIC_PUSH_SENT, 70);
    metrics_add(METRIC_PUSH_STORED, 20);
    metrics_add(METRIC_PUSH_DROPPED, 10);
    node_fixture_stall_ms(5000);
    nodes_say(fixture.worker);
    cr_expect_eq(asked->self.pushes_per_second, 20);
    answer_nothing();
    node_fixture_stall_ms(5000);
    nodes_say(fixture.worker);
    cr_expect_eq(asked->self.pushes_per_second, 0);
    answer_nothing();
}

Test(nodes, who_ask_for_them_have_the_store_asked)
{
    struct gateway_nodes nodes = {.on_done = on_done};
    gateway_nodes(&fixture.node, &nodes);
    cr_assert_eq(n_done, 0);
    answer_with(other_node("22222222", "b", 2000));
    cr_assert_eq(n_done, 1);
    cr_assert_eq(nodes.n, 2);
    cr_expect(nodes.nodes[0].is_self);
    cr_expect_str_eq(nodes.nodes[1].said.node, "b");
    cr_expect_eq(nodes.nodes[1].seen_ago_ms, 2000);
    cr_expect_eq(nodes.nodes[1].started_ago_ms, 3000);
    cr_expect_eq(nodes.connections, 5);
    cr_expect_eq(nodes.users, 4);
    free(nodes.nodes);
    nodes = (struct gateway_nodes){.on_done = on_done};
    gateway_nodes(&fixture.node, &nodes);
    answer_nothing();
    cr_assert_eq(nodes.n, 2, "what was known is known");
    free(nodes.nodes);
}

Test(nodes, are_silent_after_15_s_and_gone_after_60)
{
    struct gateway_nodes nodes;
    nodes_say(fixture.worker);
    answer_with(other_node("22222222", "0", 0));
    cr_expect_eq(metrics_read(METRIC_NODES_UP), 2);
    node_fixture_stall_ms(14999);
    look(&nodes);
    cr_expect_eq(nodes.nodes[0].state, GATEWAY_NODE_UP);
    cr_expect_eq(nodes.connections, 5);
    free(nodes.nodes);
    node_fixture_stall_ms(1);
    look(&nodes);
    cr_expect_eq(nodes.nodes[0].state, GATEWAY_NODE_SILENT);
    cr_expect_eq(nodes.connections, 0);
    free(nodes.nodes);
    node_fixture_stall_ms(45001);
    look(&nodes);
    cr_expect_eq(nodes.n, 1);
    cr_expect(nodes.nodes[0].is_self);
    free(nodes.nodes);
}

Test(nodes, that_drain_say_so)
{
    struct gateway_nodes nodes;
    struct store_node other = other_node("22222222", "b", 0);
    other.is_draining = true;
    atomic_store(&fixture.node.is_draining, true);
    nodes_say(fixture.worker);
    cr_expect(asked->self.is_draining);
    answer_with(other);
    look(&nodes);
    cr_expect_eq(nodes.nodes[0].state, GATEWAY_NODE_DRAINING);
    cr_expect_eq(nodes.nodes[1].state, GATEWAY_NODE_DRAINING);
    cr_expect_eq(metrics_read(METRIC_NODES_DRAINING), 2);
    free(nodes.nodes);
}

/* Clients that a drain sends away need not wait if there is one. */
Test(nodes, that_are_up_are_known_to_be_for_15_s)
{
    const struct store_node others[] = {other_node("22222222", "b", 4000),
                                        other_node("33333333", "c", 1000),
                                        other_node("44444444", "d", 0)};
    struct store_node draining = others[2];
    draining.is_draining = true;
    nodes_say(fixture.worker);
    answer_with_all((struct store_node[]){others[0], others[1], draining}, 3);
    cr_expect_eq(fixture.node.others_up_until_ms, now_ms(NULL) - 1000 + 15000);
    node_fixture_stall_ms(5000);
    nodes_say(fixture.worker);
    answer_with(draining);
    cr_expect_eq(fixture.node.others_up_until_ms, 0, "this one does not count, nor does that one");
}

Test(nodes, that_begin_to_drain_say_so_once_before_it_is_due)
{
    nodes_say(fixture.worker);
    answer_nothing();
    node_fixture_stall_ms(1000);
    atomic_store(&fixture.node.is_draining, true);
    nodes_say(fixture.worker);
    cr_assert_eq(n_asked, 2);
    cr_expect(asked->self.is_draining);
    nodes_say(fixture.worker); /* it is under way */
    answer_nothing();
    nodes_say(fixture.worker);
    node_fixture_stall_ms(3999);
    nodes_say(fixture.worker);
    cr_expect_eq(n_asked, 2);
    node_fixture_stall_ms(1);
    nodes_say(fixture.worker);
    cr_expect_eq(n_asked, 3, "each 5 s as before");
    answer_nothing();
}

/* While the question before is under way, and while the store is away, that must wait. */
Test(nodes, that_begin_to_drain_when_they_cannot_say_so_say_it_as_soon_as_they_can)
{
    nodes_say(fixture.worker);
    atomic_store(&fixture.node.is_draining, true);
    nodes_say(fixture.worker);
    cr_assert_eq(n_asked, 1);
    cr_expect_not(asked->self.is_draining);
    answer_nothing();
    set_store_up(false);
    nodes_say(fixture.worker);
    cr_expect_eq(n_asked, 1);
    set_store_up(true);
    nodes_say(fixture.worker);
    cr_assert_eq(n_asked, 2);
    cr_expect(asked->self.is_draining);
    answer_nothing();
}

/* What an earlier process of this name has left is no other node. */
Test(nodes, of_one_name_are_warned_of_while_both_live)
{
    captured_log_begin();
    node_fixture_stall_ms(3000);
    nodes_say(fixture.worker);
    answer_with(other_node("22222222", "a", 3000));
    cr_expect_null(strstr(captured_log_take(), "calls itself"));
    node_fixture_stall_ms(5000);
    nodes_say(fixture.worker);
    answer_with(other_node("22222222", "a", 0));
    const char *said = captured_log_take();
    cr_expect_not_null(strstr(said, "level=warn event=\"another node calls itself a\""), "%s",
                       said);
}

/* While one process takes the place of another, and until the fleet has forgotten that. */
Test(nodes, of_one_name_are_not_warned_of_within_an_upgrade_nor_while_they_drain)
{
    captured_log_begin();
    node_fixture_stall_ms(8000);
    atomic_store(&fixture.node.has_namesake_until_ms, node_fixture_now_ms() + 5000);
    nodes_say(fixture.worker);
    answer_with(other_node("22222222", "a", 0));
    cr_expect_null(strstr(captured_log_take(), "calls itself"));
    node_fixture_stall_ms(5000);
    struct store_node draining = other_node("22222222", "a", 0);
    draining.is_draining = true;
    nodes_say(fixture.worker);
    answer_with(draining);
    cr_expect_null(strstr(captured_log_take(), "calls itself"));
    node_fixture_stall_ms(5000);
    nodes_say(fixture.worker);
    answer_with(other_node("22222222", "a", 0));
    cr_expect_not_null(strstr(captured_log_take(), "another node calls itself a"));
}

/* A fleet is between two versions while it is upgraded, whatever a node that is gone was of. */
Test(nodes, of_three_versions_are_warned_of)
{
    static const char words[] = "level=warn event=\"more than two versions run in this fleet\"";
    struct store_node others[] = {other_node("22222222", "b", 0),
                                  other_node("33333333", "c", 15000),
                                  other_node("44444444", "d", 0)};
    memcpy(others[1].version, "9.8", 4);
    captured_log_begin();
    nodes_say(fixture.worker);
    answer_with_all(others, 3);
    cr_expect_null(strstr(captured_log_take(), words), "one is silent");
    node_fixture_stall_ms(5000);
    others[1].seen_ms = now_ms(NULL);
    nodes_say(fixture.worker);
    answer_with_all(others, 3);
    const char *said = captured_log_take();
    cr_expect_not_null(strstr(said, words), "%s", said);
    cr_expect_not_null(strstr(said, "9.8"), "%s", said);
}
