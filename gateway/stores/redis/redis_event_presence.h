/* Who is online, as a partition knows it. On the lane's thread; _send and _read as in
 * redis_event_log.h. */
#ifndef HERALD_STORE_REDIS_EVENT_PRESENCE_H
#define HERALD_STORE_REDIS_EVENT_PRESENCE_H

#include "gateway/stores/redis/redis_event.h"

MUST_CHECK enum err redis_presence_send(struct redis_commands *commands,
                                        struct store_request *request,
                                        const struct redis_call *call);
MUST_CHECK enum err redis_presence_read(const struct redis_value *reply,
                                        struct store_request *request);
/* A good answer has been read. The first one on a link says that the node is new: before the link
 * broke, Redis may have lost what it had answered. */
void redis_presence_answered(struct redis_commands *commands, struct store_request *request);
enum { REDIS_PRESENCE_UNHEARD = 3 }; /* where the answer says that nothing was published */

/* One command and no script. */
MUST_CHECK enum err redis_present_send(struct redis_commands *commands,
                                       struct store_request *request,
                                       const struct redis_call *call);
MUST_CHECK enum err redis_present_read(const struct redis_value *reply,
                                       struct store_request *request);

#endif
