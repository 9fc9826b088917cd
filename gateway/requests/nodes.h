/* The nodes of the fleet. With a store that several nodes share, each says there every 5 s how it
 * is, and at once that it drains, and learns what the others have said; with the others, this node
 * is alone. It is information for operators. One thing alone is decided by it: how long a client
 * should wait that a drain sends away (node->others_up_until_ms). */
#ifndef HERALD_REQUESTS_NODES_H
#define HERALD_REQUESTS_NODES_H

#include "gateway/node/node.h"
#include "gateway/requests/requests.h"

/* Before the workers run; freed after they and the store have ended. ERR_NO_MEMORY, ERR_SYSTEM. */
MUST_CHECK enum err nodes_new(struct node *node, struct node_list **ret_list);
void nodes_free(struct node_list *list); /* NULL is fine */

/* What this process calls itself among the nodes: drawn, so no two share it. Any thread. */
struct epoch nodes_name(const struct node_list *list);

/* On each worker's thread, once a second and when a drain has begun: the first one speaks for the
 * node, if that is due. */
void nodes_say(struct worker *worker);

/* Says it for a process that is about to take a node over, before the other one takes back what it
 * has said, so that nobody misses the node. Waits up to 100 ms for the store. From outside, while
 * the workers run. */
void nodes_arrive(struct node *node);

/* Takes back what this node has said; from now on it says nothing. Waits up to 500 ms for the
 * store. From outside, while the workers run. */
void nodes_leave(struct node *node);

#endif
