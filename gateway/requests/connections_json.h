/* The connections of a user as JSON (CONTRACT section 3, GET /users/ID): what a node tells another
 * one, and how the answers are put together. */
#ifndef HERALD_CONNECTIONS_JSON_H
#define HERALD_CONNECTIONS_JSON_H

#include "gateway/node/client.h"
#include "proto/bytes/buf.h"

/* Home worker. Writes an array of the client's connections to `out`, which is empty: as many as fit
 * below its ceiling, and as there is memory for. */
void connections_json_write(const struct client *client, struct buf *out);

/* Appends the elements of such an array to `out`, with a comma before each but the first of `out`,
 * and answers their number. 0: it is no array of objects, or there is no room for it. */
size_t connections_json_append(struct span array, struct buf *out);

#endif
