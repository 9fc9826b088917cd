/* Pushes that wait until their notification is acknowledged, or has left the inbox otherwise, or
 * their time is over (CONTRACT 3, `wait`). They live on the user's home worker. A push whose
 * request goes away is a push all the same: whoever asked keeps it until on_done ran. */
#ifndef HERALD_PUSH_WAITS_H
#define HERALD_PUSH_WAITS_H

#include "gateway/node/client.h"
#include "gateway/node/node.h"
#include "gateway/requests/requests.h"

/* Any thread: the push's one target is stored, since time_ms. false: it does not wait (too many do,
 * or this node is going away), and the caller answers it. */
MUST_CHECK bool push_waits_begin(struct node *node, struct gateway_push *push, int64_t time_ms);

/* Home worker: a position of the client has moved to `acked`. */
void push_waits_acked(struct client *client, uint64_t acked);

/* Home worker: the store was asked to move a position of the user, who need not be here. */
void push_waits_asked(struct worker *home, struct span user_id);

/* Any thread: the store has reported this event. */
void push_waits_hear(struct node *node, struct span user_id, struct inbox_event event);

/* Home worker's thread, or after it has ended: answers all with what is known, and those to come.
 */
void push_waits_stop(struct worker *worker);

#endif
