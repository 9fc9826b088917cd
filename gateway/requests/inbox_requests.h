/* What operators and backends ask about a user's notifications: what became of one, what waits; and
 * how they take them back (CONTRACT 3). Any thread; gateway.h says the rest. */
#ifndef HERALD_INBOX_REQUESTS_H
#define HERALD_INBOX_REQUESTS_H

#include "gateway/node/node.h"
#include "gateway/requests/requests.h"

void messages_one(struct node *node, struct gateway_message *message);
void messages_inbox(struct node *node, struct gateway_inbox *inbox);

#endif
