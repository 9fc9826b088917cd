/* The users of a node as JSON, in pages (CONTRACT section 3, GET /clients): what a node answers its
 * own operators, and another node. */
#ifndef HERALD_CLIENTS_JSON_H
#define HERALD_CLIENTS_JSON_H

#include "gateway/node/client_map.h"
#include "proto/bytes/buf.h"

/* {"clients":[{"userId":"7","connections":2}],"next":"0000000112a40000"}, to `out`, which is empty:
 * the users from `after` on, which is 0 at the start, then `next`; that is null on the last page.
 * At most `limit`, and as many as fit below the ceiling of `out`, which has room for one at least
 * (CLIENTS_JSON_ONE_MAX_BYTES). *ret_n: how many. ERR_NO_MEMORY. Any thread. */
enum { CLIENTS_JSON_ONE_MAX_BYTES = 1024 };
MUST_CHECK enum err clients_json_write(struct client_map *map, uint64_t after, uint32_t limit,
                                       struct buf *out, size_t *ret_n);

/* May it be passed on as what another node has answered? Then it is one JSON object. */
bool clients_json_check(struct span page);

#endif
