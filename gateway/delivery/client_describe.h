/* What user.online says of a client. */
#ifndef HERALD_CLIENT_DESCRIBE_H
#define HERALD_CLIENT_DESCRIBE_H

#include "gateway/node/node.h"

/* node->describe_client. */
bool client_describe(const struct client *client, char room[CLIENT_DESCRIPTION_BYTES],
                     struct event_online *ret_online);

#endif
