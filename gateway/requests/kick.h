/* What operators ask for: kick, look. Each question goes to the user's home worker by mail. */
#ifndef HERALD_KICK_H
#define HERALD_KICK_H

#include "gateway/node/node.h"
#include "gateway/requests/requests.h"

void operators_kick(struct node *node, struct gateway_kick *kick);
void operators_user(struct node *node, struct gateway_user *user);
MUST_CHECK enum err operators_clients(struct node *node, struct span after,
                                      struct gateway_client *clients, size_t cap, size_t *ret_n,
                                      char ret_next[32]);

#endif
