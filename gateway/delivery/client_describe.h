/* When presence hears that a client is there, and what user.online says of it. Home worker. */
#ifndef HERALD_CLIENT_DESCRIBE_H
#define HERALD_CLIENT_DESCRIBE_H

#include "gateway/node/node.h"

/* node->describe_client. */
bool client_describe(const struct client *client, char room[CLIENT_DESCRIPTION_BYTES],
                     struct event_online *ret_online);

/* A session of the client is accepted: the user is not blocked, as far as the store can say. The
 * first time delivery_events.on_online hears of it; a client whose sessions were all refused was
 * never there. */
void client_note_present(struct client *client);

#endif
