/* The consumers of a partition. On the lane's thread; _send and _read as in redis_event_log.h. */
#ifndef HERALD_STORE_REDIS_EVENT_CONSUMERS_H
#define HERALD_STORE_REDIS_EVENT_CONSUMERS_H

#include "gateway/stores/redis/redis_event.h"

MUST_CHECK enum err redis_consumers_send(struct redis_commands *commands,
                                         struct store_request *request,
                                         const struct redis_call *call);
/* ERR_CONFLICT: there are too many. */
MUST_CHECK enum err redis_consumers_read(const struct redis_value *reply,
                                         struct store_request *request);

/* store_peek of a reserved user: the same script, and less of its answer. */
MUST_CHECK enum err redis_event_peek_send(struct redis_commands *commands,
                                          const struct store_peek *peek,
                                          const struct redis_call *call);
MUST_CHECK enum err redis_event_peek_read(const struct redis_value *reply, struct store_peek *peek);

#endif
