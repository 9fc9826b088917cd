/* What nodes say of themselves, and how long it stays (node.lua). */
#include "tests/store/redis_backend.h"

#include <stdlib.h>

struct nodes_call {
    struct store_nodes nodes; /* first: on_done gets its address */
    struct call call;
};

static void on_nodes(struct store_request *request)
{
    call_answer(&((struct nodes_call *)(void *)request)->call);
}

static struct store_node node_named(const char *name, const char *node)
{
    struct store_node said = {.version = "1.0", .connections = 5, .users = 4, .is_store_up = true};
    memcpy(said.name.text, name, EPOCH_LEN);
    snprintf(said.node, sizeof said.node, "%s", node);
    said.started_ms = store_now_ms(store) - 1000;
    return said;
}

/* The caller frees the nodes. */
static struct store_nodes say(struct store_node self, bool is_leaving)
{
    struct nodes_call call = {
        .nodes = {.request = {.on_done = on_nodes}, .self = self, .is_leaving = is_leaving}};
    call_init(&call.call);
    store_nodes(store, &call.nodes);
    call_wait(&call.call);
    return call.nodes;
}

static bool lists(const struct store_nodes *nodes, const char *name)
{
    for (size_t i = 0; i < nodes->n; i++)
        if (memcmp(nodes->nodes[i].name.text, name, EPOCH_LEN) == 0)
            return true;
    return false;
}

static void put_record(const char *name, int64_t seen_ms, const char *rest)
{
    char line[200];
    snprintf(line, sizeof line, "HSET herald:nodes %s %lld:%s", name, (long long)seen_ms, rest);
    redis_server_do(&server, line);
}

#define OTHER_NODE "1:5:4:9:0:2:1:b3:1.0"

Test(store_redis, a_node_is_told_of_all_that_have_said_something)
{
    int64_t before_ms = store_now_ms(store);
    struct store_nodes nodes = say(node_named("aaaaaaaa", "a"), false);
    cr_assert_eq(nodes.error, ERR_OK);
    cr_assert_eq(nodes.n, 1);
    cr_expect(lists(&nodes, "aaaaaaaa"));
    cr_expect_str_eq(nodes.nodes[0].node, "a");
    cr_expect_eq(nodes.nodes[0].users, 4);
    cr_expect_geq(nodes.nodes[0].seen_ms, before_ms - 1, "Redis says when");
    free(nodes.nodes);
    nodes = say(node_named("bbbbbbbb", "b"), false);
    cr_expect_eq(nodes.n, 2);
    cr_expect(lists(&nodes, "aaaaaaaa") && lists(&nodes, "bbbbbbbb"));
    free(nodes.nodes);
    nodes = say(node_named("aaaaaaaa", "a"), true);
    cr_expect_eq(nodes.n, 1, "it has left");
    cr_expect(lists(&nodes, "bbbbbbbb"));
    free(nodes.nodes);
}

Test(store_redis, what_a_node_said_leaves_redis_60_s_later)
{
    int64_t now_ms = store_now_ms(store);
    put_record("cccccccc", now_ms - STORE_NODE_KEPT_MS - 1000, OTHER_NODE);
    put_record("dddddddd", now_ms - STORE_NODE_KEPT_MS + 30000, OTHER_NODE);
    struct store_nodes nodes = say(node_named("aaaaaaaa", "a"), false);
    cr_expect_eq(nodes.n, 2);
    cr_expect_not(lists(&nodes, "cccccccc"));
    cr_expect(lists(&nodes, "dddddddd"));
    free(nodes.nodes);
    cr_expect_eq(redis_server_number(&server, "HEXISTS herald:nodes cccccccc"), 0);
    cr_expect_eq(redis_server_number(&server, "HLEN herald:nodes"), 2);
    long left_ms = redis_server_number(&server, "PTTL herald:nodes");
    cr_expect(left_ms > 0 && left_ms <= STORE_NODE_KEPT_MS, "%ld", left_ms);
}

/* A node that lives says it again within 5 s. */
Test(store_redis, what_a_node_said_before_redis_was_set_back_does_not_stay)
{
    put_record("cccccccc", store_now_ms(store) + STORE_NODE_KEPT_MS + 30000, OTHER_NODE);
    struct store_nodes nodes = say(node_named("aaaaaaaa", "a"), false);
    cr_expect_eq(nodes.n, 1);
    free(nodes.nodes);
    cr_expect_eq(redis_server_number(&server, "HLEN herald:nodes"), 1);
}

Test(store_redis, what_no_node_can_have_said_is_left_out)
{
    redis_server_do(&server, "HSET herald:nodes eeeeeeee nonsense");
    put_record("ffffffff", store_now_ms(store), "of:a:later:version");
    put_record("no-name", store_now_ms(store), OTHER_NODE);
    struct store_nodes nodes = say(node_named("aaaaaaaa", "a"), false);
    cr_expect_eq(nodes.error, ERR_OK);
    cr_expect_eq(nodes.n, 1);
    cr_expect(lists(&nodes, "aaaaaaaa"));
    free(nodes.nodes);
    cr_expect_eq(redis_server_number(&server, "HEXISTS herald:nodes eeeeeeee"), 0,
                 "it says no time");
    cr_expect_eq(redis_server_number(&server, "HEXISTS herald:nodes ffffffff"), 1,
                 "others may read it");
}

Test(store_redis, while_redis_is_away_nodes_cannot_say_anything)
{
    redis_server_stop(&server);
    wait_for_state(false);
    struct store_nodes nodes = say(node_named("aaaaaaaa", "a"), false);
    cr_expect_eq(nodes.error, ERR_STORE_UNAVAILABLE);
    cr_expect_eq(nodes.n, 0);
    free(nodes.nodes);
    redis_server_start(&server, NULL, NULL);
    wait_for_state(true);
}
