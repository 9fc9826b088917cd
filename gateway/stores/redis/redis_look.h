/* Looks and withdrawals as their scripts answer them. On the lane's thread. _send and _read as in
 * redis_positions.h. */
#ifndef HERALD_STORE_REDIS_LOOK_H
#define HERALD_STORE_REDIS_LOOK_H

#include "gateway/stores/redis/redis_commands.h"

MUST_CHECK enum err redis_look_send(struct redis_commands *commands, struct store_request *request,
                                    const struct redis_call *call);
/* ERR_NOT_FOUND: an answer of the store. */
MUST_CHECK enum err redis_look_read(const struct redis_value *reply, struct store_request *request);

MUST_CHECK enum err redis_withdraw_send(struct redis_commands *commands,
                                        struct store_request *request,
                                        const struct redis_call *call);
/* ERR_NOT_FOUND: an answer of the store. */
MUST_CHECK enum err redis_withdraw_read(const struct redis_value *reply,
                                        struct store_request *request);

#endif
