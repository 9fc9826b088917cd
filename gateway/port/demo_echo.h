/* With --demo Herald answers what clients say itself, as a backend would: with a push to the
 * connection that said it, so that a newcomer sees both directions before there is a backend. */
#ifndef HERALD_DEMO_ECHO_H
#define HERALD_DEMO_ECHO_H

#include "gateway/node/node.h"

/* Plugs itself into the node, before the workers start, and says so in the log. Does nothing where
 * client messages are off. */
void demo_echo_begin(struct node *node);

#endif
