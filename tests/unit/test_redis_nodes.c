#include "gateway/stores/redis/redis_nodes.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* As node.lua keeps it: SEEN, then what the node wrote. */
static bool read_after(const char *more, const struct store_node *said, struct store_node *ret_node)
{
    char record[2 * REDIS_NODE_MAX_BYTES];
    char written[REDIS_NODE_MAX_BYTES];
    size_t len = redis_node_write(said, written);
    int total = snprintf(record, sizeof record, "1790000000123:%.*s%s", (int)len, written, more);
    return redis_node_read((struct span){record, (size_t)total}, ret_node);
}

static const struct store_node full = {
    .node = "a-1.example",
    .version = "1.2.0",
    .started_ms = 1789999999000,
    .connections = 4012,
    .users = 3990,
    .max_connections = 18500,
    .pushes_per_second = 310,
    .is_draining = true,
    .is_store_up = true,
};

static void expect_full(const struct store_node *node)
{
    cr_expect_eq(node->seen_ms, 1790000000123);
    cr_expect_eq(node->started_ms, full.started_ms);
    cr_expect_str_eq(node->node, full.node);
    cr_expect_str_eq(node->version, full.version);
    cr_expect_eq(node->connections, 4012);
    cr_expect_eq(node->users, 3990);
    cr_expect_eq(node->max_connections, 18500);
    cr_expect_eq(node->pushes_per_second, 310);
    cr_expect(node->is_draining && node->is_store_up);
}

Test(redis_nodes, reads_what_it_writes)
{
    struct store_node node;
    cr_assert(read_after("", &full, &node));
    expect_full(&node);
}

/* Records only grow: nodes of two versions read each other's. */
Test(redis_nodes, skips_what_a_later_version_appends)
{
    struct store_node node;
    cr_assert(read_after("17:4:more", &full, &node));
    expect_full(&node);
}

Test(redis_nodes, writes_the_longest_names)
{
    struct store_node longest = full;
    struct store_node node;
    memset(longest.node, 'n', STORE_NODE_NAME_MAX_BYTES);
    memset(longest.version, 'v', STORE_VERSION_MAX_BYTES);
    longest.connections = longest.users = longest.max_connections = longest.pushes_per_second =
        UINT64_C(999999999999999);
    cr_assert(read_after("", &longest, &node));
    cr_expect_str_eq(node.node, longest.node);
    cr_expect_str_eq(node.version, longest.version);
}

/* Everybody who may write to Redis may have written it. */
Test(redis_nodes, reads_nothing_from_what_is_no_record)
{
    static const char *const bad[] = {
        "",
        "1790000000123:",
        "1790000000123:1:2:3:4:5:6:3:abc",
        "1790000000123:1:2:3:4:5:6:4:abc1:1",
        "1790000000123:1:2:3:4:5:6:99999:abc1:1",
        "1790000000123:1:2:3:4:5:6:3:a\nc1:1",
        "1790000000123:1:2:3:4:5:6:3:abc70:1",
        "x:1:2:3:4:5:6:3:abc1:1",
        "1790000000123:-1:2:3:4:5:6:3:abc1:1",
    };
    struct store_node node;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_expect_not(redis_node_read(span_of(bad[i]), &node), "%s", bad[i]);
    cr_expect(redis_node_read(span_of("1790000000123:1:2:3:4:5:6:3:abc1:1"), &node));
}
