#include "tests/support/event_node.h"

#include "gateway/events/event_pulls.h"
#include "gateway/events/event_resets.h"
#include "tests/support/bare_node.h"

#include <criterion/criterion.h>

void event_node_open(struct event_node *node, struct event_store *store)
{
    struct events *events = &node->events;
    bare_node_init(&node->node, &node->options, &node->worker);
    node->options.events_max = store->config.events_max;
    node->options.events_max_bytes = (int64_t)store->config.events_max_bytes;
    node->node.store = &store->store;
    node->node.events = events;
    cr_assert_eq(bare_node_open(&node->node), ERR_OK);
    *events = (struct events){.node = &node->node, .types = EVENT_BIT(EVENT_MESSAGE)};
    events->resets = event_resets_new();
    events->pulls = event_pulls_new(events);
    cr_assert(events->resets != NULL && events->pulls != NULL);
    cr_assert_eq(event_log_new(events, &events->log), ERR_OK);
    atomic_store(&events->is_started, true);
    event_log_start(events->log);
}

void event_node_stop(struct event_node *node)
{
    event_log_stop(node->events.log);
}

void event_node_close(struct event_node *node)
{
    enum { ROUNDS = 10 };
    for (int i = 0; i < ROUNDS; i++)
        reactor_turn(node->worker->reactor, 0);
    event_pulls_free(node->events.pulls);
    event_log_free(node->events.log);
    event_resets_free(node->events.resets);
    bare_node_close(&node->node);
}

void event_node_missed(struct event_node *node)
{
    for (unsigned i = 0; i < STORE_PARTITIONS; i++)
        event_log_on_missed(node->events.log, i);
}
