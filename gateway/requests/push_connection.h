/* Pushes with ttl 0 to one connection of a user. */
#ifndef HERALD_PUSH_CONNECTION_H
#define HERALD_PUSH_CONNECTION_H

#include "gateway/node/node.h"
#include "gateway/requests/requests.h"

/* Any thread. push->own.node is set; push->on_done is called in this call, or later on the user's
 * home worker or the store's thread. */
void push_to_connection(struct gateway_push *push, struct payload *payload);

#endif
