#include "tests/support/presence_node.h"

#include "gateway/base/clock.h"
#include "gateway/base/hash.h"
#include "gateway/delivery/client_describe.h"
#include "tests/support/bare_node.h"

#include <criterion/criterion.h>
#include <stdio.h>

enum { STEP_MS = 100, ROUNDS = 6, BEGINS_MS = 100000 };

int64_t presence_node_now_ms = BEGINS_MS;

int64_t presence_node_clock(void)
{
    return presence_node_now_ms;
}

static int64_t show_us(void)
{
    return presence_node_now_ms * 1000;
}

void presence_node_replace_clock(void)
{
    presence_node_now_ms = BEGINS_MS;
    clock_replace(presence_node_clock, show_us);
    cr_assert_eq(hash_init(), ERR_OK);
}

static bool describe_client(const struct client *client, char room[CLIENT_DESCRIPTION_BYTES],
                            struct event_online *ret_online)
{
    struct presence_node *node =
        CONTAINER_OF(client_worker(client)->node, struct presence_node, node);
    snprintf(room, CLIENT_DESCRIPTION_BYTES, "c-%u", node->n_entered);
    *ret_online = (struct event_online){.user_id = client_user_id(client),
                                        .node = SPAN_LITERAL("n"),
                                        .connection = span_of(room),
                                        .level = SPAN_LITERAL("plain")};
    return true;
}

void presence_node_open(struct presence_node *node, struct presence_record *record,
                        uint32_t offline_after_ms, unsigned types)
{
    *node = (struct presence_node){.n_entered = 0};
    bare_node_init(&node->node, &node->options, &node->worker);
    node->options.offline_after = offline_after_ms;
    presence_link_init(&node->link, record);
    node->node.store = &node->link.store;
    node->node.events = &node->events;
    node->node.describe_client = describe_client;
    node->events.node = &node->node;
    node->events.types = types;
    cr_assert_eq(bare_node_open(&node->node), ERR_OK);
    cr_assert_eq(presence_new(&node->events, &node->events.presence), ERR_OK);
    cr_assert_eq(serving_new(&node->events, &node->events.serving), ERR_OK);
}

void presence_node_start(struct presence_node *node, const char *name)
{
    if (name != NULL)
        presence_adopt_name(node->events.presence, span_of(name));
    presence_start(node->events.presence);
    serving_start(node->events.serving);
}

static void remove_client(struct client *client, void *argument)
{
    struct presence_node *node = argument;
    while (!client_map_leave(node->node.map, client)) {
    }
    client_free(client);
}

void presence_node_kill(struct presence_node *node)
{
    presence_stop(node->events.presence);
    serving_stop(node->events.serving);
    presence_link_drop(&node->link);
    for (int i = 0; i < ROUNDS; i++)
        reactor_turn(node->worker->reactor, 0);
    client_map_each(node->node.map, 0, remove_client, node);
    reactor_turn(node->worker->reactor, 0);
    serving_free(node->events.serving);
    presence_free(node->events.presence);
    bare_node_close(&node->node);
}

static struct client *find_client(struct presence_node *node, const char *user_id)
{
    return client_map_find(node->node.map, span_of(user_id));
}

void presence_node_enter(struct presence_node *node, const char *user_id)
{
    struct client *client = client_map_enter(node->node.map, span_of(user_id), node->worker,
                                             worker_mailbox(node->worker));
    cr_assert_not_null(client);
    node->n_entered++;
    client_note_present(client);
}

void presence_node_leave(struct presence_node *node, const char *user_id, enum offline_cause cause)
{
    struct client *client = find_client(node, user_id);
    cr_assert_not_null(client);
    if (!client_map_leave(node->node.map, client))
        return;
    if (node->node.delivery_events.on_offline != NULL)
        node->node.delivery_events.on_offline(client, cause);
    client_free(client);
}

bool presence_node_has(struct presence_node *node, const char *user_id)
{
    return find_client(node, user_id) != NULL;
}

void presence_node_turn(struct presence_node *node)
{
    for (int i = 0; i < ROUNDS; i++) {
        reactor_turn(node->worker->reactor, 0);
        presence_link_turn(&node->link);
    }
    reactor_turn(node->worker->reactor, 0);
}

void presence_nodes_wait_ms(struct presence_node **nodes, unsigned n, int64_t ms)
{
    for (int64_t end_ms = presence_node_now_ms + ms; presence_node_now_ms < end_ms;) {
        presence_node_now_ms += STEP_MS;
        for (unsigned i = 0; i < n; i++) {
            if (presence_node_now_ms % 1000 == 0)
                presence_on_second(nodes[i]->events.presence, nodes[i]->worker);
            presence_node_turn(nodes[i]);
        }
    }
}
