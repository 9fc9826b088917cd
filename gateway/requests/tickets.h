/* Tickets (CONTRACT 2): a backend asks for one, a page connects with it. Any thread. */
#ifndef HERALD_TICKETS_H
#define HERALD_TICKETS_H

#include "gateway/gateway.h"
#include "gateway/node/node.h"

void tickets_give(struct node *node, struct gateway_ticket *ticket);

#endif
