/* Pushes with ttl 0, which go straight to the sessions that are open. */
#ifndef HERALD_PUSH_EPHEMERAL_H
#define HERALD_PUSH_EPHEMERAL_H

#include "gateway/node/node.h"
#include "gateway/requests/requests.h"

/* Any thread. Up to GATEWAY_AT_ONCE targets are offered the notification inside the call, and
 * on_done is called in it; more of them in slices, on their home workers. ERR_NO_MEMORY: nothing is
 * begun, and on_done is not called. */
MUST_CHECK enum err push_ephemeral(struct node *node, struct gateway_push *push,
                                   struct payload *payload);

/* A push with ttl 0 that the store has sent, with the error and the nodes of each target: what no
 * node has received is offered to the sessions that are open here. Then the push is answered, in
 * this call or on the home workers. */
void push_ephemeral_sent(struct node *node, struct gateway_push *push, struct payload *payload);

#endif
