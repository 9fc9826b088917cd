/* Tickets (CONTRACT 2): a backend asks for one, a page connects with it. Any thread. */
#ifndef HERALD_TICKETS_H
#define HERALD_TICKETS_H

#include "gateway/node/node.h"
#include "gateway/requests/requests.h"

void tickets_give(struct node *node, struct gateway_ticket *ticket);

#endif
