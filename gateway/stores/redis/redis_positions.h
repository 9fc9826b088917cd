/* Acknowledgements and peeks as their scripts answer them. On the lane's thread.
 *
 * _send asks, with a call whose argument is the request; ERR_OK: its on_reply will run. _read takes
 * the answer into the request; ERR_STORE_UNAVAILABLE: malformed. */
#ifndef HERALD_STORE_REDIS_POSITIONS_H
#define HERALD_STORE_REDIS_POSITIONS_H

#include "gateway/stores/redis/redis_commands.h"

MUST_CHECK enum err redis_ack_send(struct redis_commands *commands, struct store_request *request,
                                   const struct redis_call *call);
/* ERR_STALE_EPOCH: an answer of the store. */
MUST_CHECK enum err redis_ack_read(const struct redis_value *reply, struct store_request *request);

MUST_CHECK enum err redis_peek_send(struct redis_commands *commands, struct store_request *request,
                                    const struct redis_call *call);
MUST_CHECK enum err redis_peek_read(const struct redis_value *reply, struct store_request *request);

#endif
