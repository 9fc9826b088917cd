/* A push to one connection is offered to the user like any with ttl 0, with the connection's number
 * in the notification, so it keeps its place among the others; each session but that one passes it
 * over (delivery.c). Only the user's home worker can say whether the connection is here.
 *
 * Where other nodes share the store it travels through the store even if the connection is here,
 * because what was sent before it travels there as well. If the connection is not here and some
 * node has sessions of the user, these are asked whether one of them has it: the answer must not
 * call a push sent that nobody could receive. While the store is away, this node alone counts. */
#include "gateway/requests/push_connection.h"

#include "gateway/base/metrics.h"
#include "gateway/delivery/delivery.h"
#include "gateway/node/worker.h"

#include <stdlib.h>

/* `nodes` is 1 if some node has the connection. The push may be freed. */
static void finish_push(struct gateway_push *push, struct payload *payload, unsigned nodes)
{
    struct gateway_target *target = &push->targets[0];
    target->online = push->own.is_here ? 1 : 0;
    target->nodes = nodes;
    target->error = ERR_OK;
    metrics_count(nodes > 0 ? METRIC_PUSH_SENT : METRIC_PUSH_DROPPED);
    payload_unref(payload);
    push->on_done(push);
}

static void refuse_push(struct gateway_push *push, struct payload *payload)
{
    push->targets[0].error = ERR_NO_MEMORY;
    metrics_count(METRIC_PUSH_FAILED);
    payload_unref(payload);
    push->on_done(push);
}

/* To the sessions of this node, and the push is answered. */
static void offer_here(struct gateway_push *push, struct payload *payload)
{
    struct node *node = push->own.node;
    struct span user_id = push->targets[0].user_id;
    if (!push->own.is_here) {
        finish_push(push, payload, 0);
        return;
    }
    struct notification *note =
        notification_new_live(payload, store_now_ms(node->store), push->connection);
    if (note == NULL) {
        refuse_push(push, payload);
        return;
    }
    /* 0: the user has left meanwhile, or there is no room for it. */
    push->own.is_here = delivery_offer(node, user_id, inbox_event_of_note(note)) > 0;
    notification_unref(note);
    finish_push(push, payload, push->own.is_here);
}

/* ---- other nodes ---- */

struct connection_ask {
    struct store_ask ask;
    struct gateway_push *push;
};

static void on_nodes_asked(struct store_request *request)
{
    struct connection_ask *work = CONTAINER_OF(request, struct connection_ask, ask.request);
    struct gateway_push *push = work->push;
    unsigned nodes = work->ask.count > 0 ? 1 : 0;
    store_ask_clear(&work->ask);
    free(work);
    finish_push(push, push->own.append.payload, nodes);
}

static void ask_nodes(struct gateway_push *push)
{
    struct connection_ask *work = calloc(1, sizeof *work);
    if (work == NULL) {
        refuse_push(push, push->own.append.payload);
        return;
    }
    work->push = push;
    work->ask = (struct store_ask){
        .request = {.on_done = on_nodes_asked, .lane = push->own.append.request.lane},
        .user_id = push->targets[0].user_id,
        .asked = {.kind = STORE_ASK_CONNECTION, .connection = push->connection},
    };
    store_ask(push->own.node->store, &work->ask);
}

static void on_sent(struct store_request *request)
{
    struct gateway_push *push = CONTAINER_OF(request, struct gateway_push, own.append.request);
    const struct store_target *sent = &push->own.target;
    struct payload *payload = push->own.append.payload;
    bool is_heard = sent->error == ERR_OK && sent->nodes > 0;
    if (!is_heard || (push->own.is_here && sent->is_unheard))
        offer_here(push, payload);
    else if (push->own.is_here)
        finish_push(push, payload, 1);
    else
        ask_nodes(push);
}

static void send_to_nodes(struct gateway_push *push, struct payload *payload)
{
    struct node *node = push->own.node;
    push->own.target = (struct store_target){.user_id = push->targets[0].user_id};
    push->own.append = (struct store_append){
        .request = {.on_done = on_sent,
                    .lane = client_map_home(node->map, push->own.target.user_id)},
        .payload = payload,
        .connection = push->connection,
        .n_targets = 1,
        .targets = &push->own.target,
    };
    store_send_many(node->store, &push->own.append);
}

/* ---- this node ---- */

static bool is_open_here(const struct gateway_push *push)
{
    const struct client *client = client_map_find(push->own.node->map, push->targets[0].user_id);
    if (client == NULL)
        return false;
    LIST_FOR_EACH(link, &client->sessions)
    {
        if (CONTAINER_OF(link, struct session, link)->id == push->connection)
            return true;
    }
    return false;
}

static void on_home(struct letter *letter)
{
    struct gateway_push *push = CONTAINER_OF(letter, struct gateway_push, own.letter);
    struct payload *payload = push->own.append.payload;
    push->own.is_here = is_open_here(push);
    if (store_is_shared(push->own.node->store))
        send_to_nodes(push, payload);
    else
        offer_here(push, payload);
}

void push_to_connection(struct gateway_push *push, struct payload *payload)
{
    push->own.is_here = false;
    push->own.append.payload = payload_ref(payload);
    if (push->connection == 0)
        finish_push(push, payload, 0);
    else
        node_ask_home(push->own.node, push->targets[0].user_id, &push->own.letter, on_home);
}
