/* A page of the users of a node. This node's is written inside the call. For another node's, the
 * nodes of the fleet are asked for first (nodes.h), because operators know nodes by a --node-name;
 * the one that is meant is then asked by the name that it has drawn. */
#include "gateway/requests/clients_json.h"
#include "gateway/requests/requests.h"

#include "gateway/node/node.h"
#include "proto/bytes/hex.h"

#include <stdlib.h>

struct clients_work {
    struct gateway_nodes nodes;
    struct store_ask ask;
    struct node *node;
    struct gateway_clients *clients;
};

static void finish_clients(struct gateway_clients *clients, enum err error)
{
    clients->error = error;
    clients->on_done(clients);
}

static void end_work(struct clients_work *work, enum err error)
{
    struct gateway_clients *clients = work->clients;
    free(work->nodes.nodes);
    free(work);
    finish_clients(clients, error);
}

static enum err list_here(struct node *node, struct gateway_clients *clients)
{
    size_t n;
    return clients_json_write(node->map, clients->own.after, clients->limit, &clients->page, &n);
}

/* ---- which node is meant ---- */

static bool is_meant(const struct gateway_clients *clients, const struct store_node *said)
{
    struct span name = {said->name.text, EPOCH_LEN};
    return (clients->node.len == 0 || span_equal(clients->node, span_of(said->node))) &&
           (clients->name.len == 0 || span_equal(clients->name, name));
}

/* What an earlier process of its name has left gives way to the one that has begun since, and a
 * silent node to one that is not. */
static bool is_behind(const struct gateway_node *node, const struct gateway_node *other)
{
    return other->started_ago_ms < node->seen_ago_ms ||
           (node->state == GATEWAY_NODE_SILENT && other->state != GATEWAY_NODE_SILENT);
}

/* ERR_NOT_FOUND. ERR_CONFLICT: there are several. */
static enum err find_meant(const struct clients_work *work, const struct gateway_node **ret_found)
{
    const struct gateway_nodes *all = &work->nodes;
    enum err error = ERR_NOT_FOUND;
    for (size_t i = 0; i < all->n; i++) {
        const struct gateway_node *node = &all->nodes[i];
        bool has_other = false;
        if (!is_meant(work->clients, &node->said))
            continue;
        for (size_t j = 0; j < all->n && !has_other; j++)
            has_other = j != i && is_meant(work->clients, &all->nodes[j].said) &&
                        !is_behind(&all->nodes[j], node);
        error = has_other ? ERR_CONFLICT : ERR_OK;
        *ret_found = node;
        if (error == ERR_OK)
            break;
    }
    return error;
}

/* ---- another node ---- */

static enum err take_answer(const struct store_ask *ask, struct gateway_clients *clients)
{
    if (ask->error != ERR_OK)
        return ask->error;
    clients->is_unheard = ask->n_asked == 0;
    const struct store_text *text = ask->texts;
    if (text == NULL || !clients_json_check((struct span){text->bytes, text->len}))
        return ERR_NODE_SILENT;
    return buf_append(&clients->page, text->bytes, text->len);
}

static void on_node_asked(struct store_request *request)
{
    struct clients_work *work = CONTAINER_OF(request, struct clients_work, ask.request);
    enum err error = take_answer(&work->ask, work->clients);
    store_ask_clear(&work->ask);
    end_work(work, error);
}

static void ask_node(struct clients_work *work, struct epoch name)
{
    work->ask = (struct store_ask){
        .request = {.on_done = on_node_asked},
        .asked = {.kind = STORE_ASK_CLIENTS,
                  .node = name,
                  .after = work->clients->own.after,
                  .limit = work->clients->limit},
    };
    store_ask(work->node->store, &work->ask);
}

/* At a stop the store may be closed already. While it is away it is not known who else is there. */
static void on_nodes_known(struct gateway_nodes *nodes)
{
    struct clients_work *work = CONTAINER_OF(nodes, struct clients_work, nodes);
    struct node *node = work->node;
    const struct gateway_node *found = NULL;
    enum err error = nodes->error;
    if (error == ERR_OK)
        error = find_meant(work, &found);
    bool is_away = store_is_shared(node->store) && !atomic_load(&node->is_store_up);
    if ((error == ERR_NOT_FOUND && is_away) || atomic_load(&node->is_stopping))
        error = ERR_STORE_UNAVAILABLE;
    if (error != ERR_OK)
        end_work(work, error);
    else if (found->is_self)
        end_work(work, list_here(node, work->clients));
    else
        ask_node(work, found->said.name);
}

void gateway_clients(struct node *node, struct gateway_clients *clients)
{
    clients->is_unheard = false;
    buf_init(&clients->page, GATEWAY_CLIENTS_MAX_BYTES);
    if (!hex_read(clients->after, &clients->own.after)) {
        finish_clients(clients, ERR_INVALID_FIELD);
        return;
    }
    if (clients->node.len == 0 && clients->name.len == 0) {
        finish_clients(clients, list_here(node, clients));
        return;
    }
    struct clients_work *work = calloc(1, sizeof *work);
    if (work == NULL) {
        finish_clients(clients, ERR_NO_MEMORY);
        return;
    }
    work->node = node;
    work->clients = clients;
    work->nodes.on_done = on_nodes_known;
    gateway_nodes(node, &work->nodes);
}

void gateway_clients_clear(struct gateway_clients *clients)
{
    buf_fini(&clients->page);
}
