#include "gateway/stores/redis/redis_nodes.h"

#include "gateway/stores/redis/redis_answer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { FLAG_DRAINING = 1, FLAG_STORE_UP = 2 };

/* --- records --- */

size_t redis_node_write(const struct store_node *node, char out[REDIS_NODE_MAX_BYTES])
{
    unsigned flags =
        (node->is_draining ? FLAG_DRAINING : 0) | (unsigned)(node->is_store_up ? FLAG_STORE_UP : 0);
    int len =
        snprintf(out, REDIS_NODE_MAX_BYTES,
                 "%" PRId64 ":%" PRIu64 ":%" PRIu64 ":%" PRIu64 ":%" PRIu64 ":%u:%zu:%s%zu:%s",
                 node->started_ms, node->connections, node->users, node->max_connections,
                 node->pushes_per_second, flags, strlen(node->node), node->node,
                 strlen(node->version), node->version);
    return (size_t)len;
}

static bool take_count(struct span *rest, uint64_t *ret_count)
{
    int64_t number;
    if (!redis_take_number(rest, &number))
        return false;
    *ret_count = (uint64_t)number;
    return true;
}

/* Texts are shown to operators: only what can be printed is taken. */
static bool take_text(struct span *rest, char *out, size_t cap)
{
    int64_t len;
    if (!redis_take_number(rest, &len) || (uint64_t)len >= cap || (uint64_t)len > rest->len)
        return false;
    for (size_t i = 0; i < (size_t)len; i++)
        if (rest->bytes[i] <= ' ' || rest->bytes[i] > '~')
            return false;
    memcpy(out, rest->bytes, (size_t)len);
    out[len] = '\0';
    *rest = (struct span){rest->bytes + len, rest->len - (size_t)len};
    return true;
}

bool redis_node_read(struct span record, struct store_node *ret_node)
{
    struct store_node node = {.seen_ms = 0};
    uint64_t flags;
    if (!redis_take_number(&record, &node.seen_ms) ||
        !redis_take_number(&record, &node.started_ms) || !take_count(&record, &node.connections) ||
        !take_count(&record, &node.users) || !take_count(&record, &node.max_connections) ||
        !take_count(&record, &node.pushes_per_second) || !take_count(&record, &flags) ||
        !take_text(&record, node.node, sizeof node.node) ||
        !take_text(&record, node.version, sizeof node.version))
        return false;
    node.is_draining = (flags & FLAG_DRAINING) != 0;
    node.is_store_up = (flags & FLAG_STORE_UP) != 0;
    *ret_node = node;
    return true;
}

/* --- the request --- */

struct span redis_nodes_key(char out[REDIS_NODES_KEY_MAX_BYTES], const char *prefix)
{
    int len = snprintf(out, REDIS_NODES_KEY_MAX_BYTES, "%s:nodes", prefix);
    return (struct span){out, (size_t)len};
}

enum err redis_nodes_send(struct redis_commands *commands, struct store_request *request,
                          const struct redis_call *call)
{
    struct store_nodes *nodes = (struct store_nodes *)request;
    char key[REDIS_NODES_KEY_MAX_BYTES];
    char record[REDIS_NODE_MAX_BYTES];
    struct redis_number kept_ms;
    struct span args[] = {
        redis_nodes_key(key, commands->common->prefix),
        redis_epoch_text(&nodes->self.name),
        {record, nodes->is_leaving ? 0 : redis_node_write(&nodes->self, record)},
        redis_number_write(&kept_ms, STORE_NODE_KEPT_MS),
    };
    return redis_commands_eval(commands, call, SCRIPT_NODE, args, 4, 1);
}

/* [now, name, record, name, record...] */
enum err redis_nodes_read(const struct redis_value *reply, struct store_request *request)
{
    struct store_nodes *nodes = (struct store_nodes *)request;
    uint64_t now_ms;
    struct span name, record;
    if (!redis_answer_number(reply, 0, &now_ms))
        return ERR_STORE_UNAVAILABLE;
    size_t n_items = reply->n;
    struct store_node *found = calloc(n_items / 2 + 1, sizeof *found);
    if (found == NULL)
        return ERR_NO_MEMORY;
    for (size_t i = 1; i + 1 < n_items && nodes->n < STORE_MAX_NODES; i += 2) {
        struct store_node *node = &found[nodes->n];
        if (redis_value_text(redis_value_item(reply, i), &name) &&
            redis_value_text(redis_value_item(reply, i + 1), &record) &&
            redis_node_read(record, node) && redis_epoch_read(name, &node->name) &&
            !epoch_is_none(node->name))
            nodes->n++;
    }
    nodes->nodes = found;
    return ERR_OK;
}
