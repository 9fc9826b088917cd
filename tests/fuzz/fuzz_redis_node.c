/* What the nodes of a fleet say of themselves in Redis, where anybody may write. A byte chooses:
 * one record, which comes back as it was written, or an answer of node.lua with all of them. */
#include "gateway/stores/redis/redis_nodes.h"
#include "tests/fuzz/fuzz.h"

#include <inttypes.h>

static void check_text(const char *text, size_t cap)
{
    FUZZ_CHECK(strnlen(text, cap) < cap);
    for (; *text != '\0'; text++)
        FUZZ_CHECK(*text > ' ' && *text <= '~');
}

static void check_node(const struct store_node *node)
{
    check_text(node->node, sizeof node->node);
    check_text(node->version, sizeof node->version);
    FUZZ_CHECK(node->seen_ms >= 0 && node->started_ms >= 0);
}

static bool are_same(const struct store_node *a, const struct store_node *b)
{
    return a->seen_ms == b->seen_ms && a->started_ms == b->started_ms &&
           a->connections == b->connections && a->users == b->users &&
           a->max_connections == b->max_connections &&
           a->pushes_per_second == b->pushes_per_second && a->is_draining == b->is_draining &&
           a->is_store_up == b->is_store_up && strcmp(a->node, b->node) == 0 &&
           strcmp(a->version, b->version) == 0;
}

static void read_one(struct span record)
{
    struct store_node node;
    struct store_node again;
    char written[REDIS_NODE_MAX_BYTES];
    char whole[REDIS_NODE_MAX_BYTES + 24];
    if (!redis_node_read(record, &node))
        return;
    check_node(&node);
    size_t len = redis_node_write(&node, written);
    FUZZ_CHECK(len < sizeof written);
    int whole_len =
        snprintf(whole, sizeof whole, "%" PRId64 ":%.*s", node.seen_ms, (int)len, written);
    FUZZ_CHECK(redis_node_read((struct span){whole, (size_t)whole_len}, &again));
    FUZZ_CHECK(are_same(&node, &again));
}

static void read_all(struct span answer)
{
    struct redis_reader *reader = redis_reader_new();
    struct store_nodes nodes = {.n = 0};
    const struct redis_value *reply;
    FUZZ_CHECK(reader != NULL);
    if (redis_reader_feed(reader, answer.bytes, answer.len) == ERR_OK &&
        redis_reader_next(reader, &reply) == ERR_OK && reply != NULL &&
        redis_nodes_read(reply, &nodes.request) == ERR_OK) {
        FUZZ_CHECK(nodes.n <= STORE_MAX_NODES && nodes.n <= answer.len);
        for (size_t i = 0; i < nodes.n; i++) {
            FUZZ_CHECK(!epoch_is_none(nodes.nodes[i].name));
            check_node(&nodes.nodes[i]);
        }
    }
    free(nodes.nodes);
    redis_reader_free(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct fuzz_input input = {bytes, len};
    bool is_one = fuzz_byte(&input) % 2 == 0;
    char *copy = fuzz_copy(fuzz_rest(&input));
    struct span text = {copy, input.len};
    if (is_one)
        read_one(text);
    else
        read_all(text);
    free(copy);
    return 0;
}
