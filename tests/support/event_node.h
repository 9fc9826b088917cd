/* A node with one worker that keeps client messages, and whose events are read, on a store of the
 * test's (event_store.h). It has the event log and its readers, no sessions. One thread; nothing
 * runs but where its worker's reactor is turned. Failures end the test (criterion). */
#ifndef HERALD_TESTS_EVENT_NODE_H
#define HERALD_TESTS_EVENT_NODE_H

#include "gateway/events/event_log.h"
#include "gateway/node/worker.h"
#include "tests/support/event_store.h"

struct event_node {
    struct options options;
    struct node node;
    struct worker *worker;
    struct events events;
};

void event_node_open(struct event_node *node, struct event_store *store);
/* Before the store is closed: nothing more is asked of it; and after. */
void event_node_stop(struct event_node *node);
void event_node_close(struct event_node *node);

/* The store may have more than it has reported. */
void event_node_missed(struct event_node *node);

#endif
