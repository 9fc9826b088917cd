/* The parts of a node with one worker, as gateway.c puts them together, without threads, sockets,
 * a store and a clock: for tests that turn the worker themselves. */
#ifndef HERALD_TESTS_BARE_NODE_H
#define HERALD_TESTS_BARE_NODE_H

#include "gateway/node/worker.h"

/* Sets what a node reads of the options to its defaults, and what is constant in a node. Takes no
 * memory. The test adds a store, and changes what it wants before bare_node_open. */
void bare_node_init(struct node *node, struct options *options, struct worker **worker);

/* Makes the client map, the wait table and the worker. ERR_NO_MEMORY: nothing is left. */
MUST_CHECK enum err bare_node_open(struct node *node);

/* The sessions have left, and every letter is delivered. */
void bare_node_close(struct node *node);

#endif
