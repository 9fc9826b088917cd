/* The store's event about a question of this node or another one. What asks is in kick.c, users.c
 * and inbox_requests.c. */
#ifndef HERALD_QUESTIONS_H
#define HERALD_QUESTIONS_H

#include "gateway/node/node.h"

/* store_events.on_question; the owner is the node. Any thread. */
void questions_on_asked(struct store_user_question *question);

#endif
