/* Blocks as their script answers them, and tickets, which are one command each: a ticket's key has
 * no user, and a slot of its own. On the lane's thread. _send and _read as in redis_positions.h. */
#ifndef HERALD_STORE_REDIS_BLOCKS_H
#define HERALD_STORE_REDIS_BLOCKS_H

#include "gateway/stores/redis/redis_commands.h"

MUST_CHECK enum err redis_block_send(struct redis_commands *commands, struct store_request *request,
                                     const struct redis_call *call);
MUST_CHECK enum err redis_block_read(const struct redis_value *reply,
                                     struct store_request *request);

MUST_CHECK enum err redis_ticket_give_send(struct redis_commands *commands,
                                           struct store_request *request,
                                           const struct redis_call *call);
/* ERR_CONFLICT: an answer of the store. */
MUST_CHECK enum err redis_ticket_give_read(const struct redis_value *reply,
                                           struct store_request *request);

MUST_CHECK enum err redis_ticket_take_send(struct redis_commands *commands,
                                           struct store_request *request,
                                           const struct redis_call *call);
/* ERR_NOT_FOUND: an answer of the store. */
MUST_CHECK enum err redis_ticket_take_read(const struct redis_value *reply,
                                           struct store_request *request);

#endif
