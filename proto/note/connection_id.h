/* The name of a subscriber's connection, "c-7f3a": its number in hexadecimal digits. Clients learn
 * it from hello, backends from events and from GET /users/ID, and a push may be for one connection
 * alone. Pure. */
#ifndef HERALD_PROTO_CONNECTION_ID_H
#define HERALD_PROTO_CONNECTION_ID_H

#include "proto/bytes/span.h"

#include <stdint.h>

enum { CONNECTION_ID_BITS = 48, CONNECTION_ID_MAX_BYTES = 2 + CONNECTION_ID_BITS / 4 };

/* Answers the length; there is no NUL. Of `id` the low CONNECTION_ID_BITS count. */
size_t connection_id_write(uint64_t id, char out[CONNECTION_ID_MAX_BYTES]);

/* false: it is not the name of any connection; *ret_id is unchanged. 0 is no connection's number.
 */
bool connection_id_parse(struct span text, uint64_t *ret_id);

#endif
