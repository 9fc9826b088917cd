/* One notification to everyone who is online now; never stored (CONTRACT 3). Any thread. */
#ifndef HERALD_BROADCAST_H
#define HERALD_BROADCAST_H

#include "gateway/gateway.h"
#include "gateway/node.h"

void broadcast_push(struct node *node, struct gateway_broadcast *broadcast);

#endif
