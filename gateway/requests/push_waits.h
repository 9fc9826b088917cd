/* Pushes that wait until their notification is acknowledged, has left the inbox in another way, or
 * their time is over (CONTRACT 3, `wait`). Each lives on its user's home worker, in the node's wait
 * table. The caller owns the push until on_done ran, also when its client has gone meanwhile. */
#ifndef HERALD_PUSH_WAITS_H
#define HERALD_PUSH_WAITS_H

#include "gateway/node/client.h"
#include "gateway/node/node.h"
#include "gateway/requests/requests.h"

/* The table of a node with that many workers: made before the first push, freed after
 * push_waits_stop of every worker and the last letter. ERR_NO_MEMORY. */
MUST_CHECK enum err push_waits_new(unsigned n_workers, struct wait_table **ret_table);
void push_waits_free(struct wait_table *table); /* NULL is fine */

/* Any thread: a number for a push that is going to wait, by which gateway_end_wait finds it. */
uint64_t push_waits_next_number(struct node *node);

/* Any thread: the push's one target was stored. false: it does not wait (WAITS_MAX do, or the node
 * is draining), and the caller answers it. */
MUST_CHECK bool push_waits_begin(struct node *node, struct gateway_push *push,
                                 const struct store_target *stored);

/* Home worker: a position of the client has moved to `acked`. */
void push_waits_acked(struct client *client, uint64_t acked);

/* Home worker: the store was asked to move a position of the user, who need not be here. */
void push_waits_asked(struct worker *home, struct span user_id);

/* Any thread: the store has reported this event. */
void push_waits_on_event(struct node *node, struct span user_id, struct inbox_event event);

/* store_events.on_watch and on_watch_answer; the owner is the node. */
void push_waits_on_watch(void *owner, struct span user_id, const struct store_watch *watch);
void push_waits_on_watch_answer(void *owner, uint64_t number, struct epoch epoch, uint64_t acked);

/* Home worker's thread, or after it has ended: answers all of that worker's with what is known. */
void push_waits_stop(struct worker *worker);

#endif
