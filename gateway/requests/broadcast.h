/* One notification to everyone who is online now, on every node; never stored (CONTRACT 3). Any
 * thread. */
#ifndef HERALD_BROADCAST_H
#define HERALD_BROADCAST_H

#include "gateway/node/node.h"
#include "gateway/requests/requests.h"

void broadcast_push(struct node *node, struct gateway_broadcast *broadcast);

/* What the store tells, of a broadcast of this node or another; owner is the node. Answers with the
 * sessions that it was queued for. */
void broadcast_on_told(void *owner, struct notification *note, struct store_question *question);

#endif
