/* What the nodes of a fleet say of themselves, each in one field of PREFIX:nodes:
 *
 *     SEEN:STARTED:CONNECTIONS:USERS:MAX:PUSHES:FLAGS:LENGTH:NODE LENGTH:VERSION
 *
 * Times are ms since 1970 by Redis's clock; FLAGS is a sum of 1 (draining) and 2 (its store is up);
 * node.lua writes SEEN. What a later version appends is skipped. On the lane's thread. _send and
 * _read as in redis_positions.h. */
#ifndef HERALD_STORE_REDIS_NODES_H
#define HERALD_STORE_REDIS_NODES_H

#include "gateway/stores/redis/redis_commands.h"

/* PREFIX:nodes; it lies in `out`. */
enum { REDIS_NODES_KEY_MAX_BYTES = REDIS_PREFIX_MAX_BYTES + 7 };
struct span redis_nodes_key(char out[REDIS_NODES_KEY_MAX_BYTES], const char *prefix);

MUST_CHECK enum err redis_nodes_send(struct redis_commands *commands, struct store_request *request,
                                     const struct redis_call *call);
/* A record that cannot be read is left out. */
MUST_CHECK enum err redis_nodes_read(const struct redis_value *reply,
                                     struct store_request *request);

/* A record without its SEEN, and with it. Pure. */
enum { REDIS_NODE_MAX_BYTES = 320 };
size_t redis_node_write(const struct store_node *node, char out[REDIS_NODE_MAX_BYTES]);
MUST_CHECK bool redis_node_read(struct span record, struct store_node *ret_node);

#endif
