/* Numbers that pushes of other nodes wait for (store_watch.h): the node where the acknowledgement
 * comes in says so at once. Each is kept on the home worker of its user, for a while; the other
 * node's own look at the store finds what is forgotten. */
#ifndef HERALD_WATCHES_H
#define HERALD_WATCHES_H

#include "gateway/node/client.h"
#include "gateway/node/worker.h"
#include "gateway/store/store_watch.h"

enum { WATCHES_MAX = 1000, WATCH_LIFE_MS = 30000 };

struct watches;

/* For a node with that many workers. NULL: out of memory. */
struct watches *watches_new(unsigned n_workers);
void watches_free(struct watches *watches); /* after the workers; NULL is fine */

/* Home worker: another node waits for a number of the client. Answered, or kept. */
void watches_add(struct watches *watches, struct client *client, const struct store_watch *watch);

/* Home worker: a position of the client has moved. */
void watches_acked(struct watches *watches, struct client *client);

/* Home worker: does the client's position show by itself that a number which it covers was
 * acknowledged, unless that has expired? A full inbox may have pushed it out, and whether all
 * devices have it only the store knows. */
bool watches_show_fate(const struct client *client, uint64_t seq);

/* Any thread: is one of that user to be told of an event? Some are told of in vain. */
bool watches_may_have(const struct watches *watches, struct span user_id);

/* Home worker: the store has reported this event. Who waits for what it takes out of the inbox is
 * sent to the store. */
void watches_on_event(struct watches *watches, const struct worker *home, struct span user_id,
                      struct inbox_event event);

#endif
