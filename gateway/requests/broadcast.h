/* The store's event about a broadcast, of this node or another. The request is in requests.h. */
#ifndef HERALD_BROADCAST_H
#define HERALD_BROADCAST_H

#include "gateway/node/node.h"

/* store_events.on_broadcast; owner is the node. Answers the question with the number of sessions
 * that it was queued for, once every worker has visited its clients. On the store's threads. */
void broadcast_on_received(void *owner, struct notification *note, struct store_question *question);

#endif
