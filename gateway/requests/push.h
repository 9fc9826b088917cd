/* A push on its way: to the store first (ttl above 0), or straight to whoever is online (ttl 0). */
#ifndef HERALD_PUSH_H
#define HERALD_PUSH_H

#include "gateway/node/node.h"
#include "gateway/requests/requests.h"

/* gateway_push, for code that has no gateway at hand. */
void router_push(struct node *node, struct gateway_push *push);

/* What the store tells; owner is the node. */
void router_on_inbox_event(void *owner, struct span user_id, struct inbox_event event);
void router_on_missed(void *owner, struct span user_id, bool has_withdrawals);

#endif
