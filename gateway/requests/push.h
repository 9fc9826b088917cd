/* The store's events about notifications, on their way to the sessions of this node and to the
 * pushes that wait. The push itself is in requests.h. */
#ifndef HERALD_PUSH_H
#define HERALD_PUSH_H

#include "gateway/node/node.h"

/* store_events.on_inbox_event, on_missed and get_known; owner is the node. On the store's threads;
 * get_known on that of the user's home. */
void push_on_inbox_event(void *owner, struct span user_id, struct inbox_event event);
void push_on_missed(void *owner, struct span user_id, bool has_withdrawals);
void push_get_known(void *owner, struct span user_id, struct store_known *ret_known);

#endif
