/* Events of a partition: appended, read and acknowledged. On the lane's thread.
 *
 * _send asks, with a call whose argument is the request; ERR_OK: its on_reply will run. _read takes
 * the answer into the request; ERR_STORE_UNAVAILABLE: malformed. */
#ifndef HERALD_STORE_REDIS_EVENT_LOG_H
#define HERALD_STORE_REDIS_EVENT_LOG_H

#include "gateway/stores/redis/redis_event.h"

MUST_CHECK enum err redis_event_append_send(struct redis_commands *commands,
                                            struct store_request *request,
                                            const struct redis_call *call);
/* ERR_FULL: it is bounded, and there is no room. */
MUST_CHECK enum err redis_event_append_read(const struct redis_value *reply,
                                            struct store_request *request);
enum { REDIS_EVENT_UNHEARD = 5 }; /* where the answer says that nothing was published */

/* store_page of a reserved user; `more` is empty, or "r": nothing is written. It is answered as
 * page.lua answers a user's, with two numbers more: see redis_event_page_take. */
MUST_CHECK enum err redis_event_page_send(struct redis_commands *commands,
                                          const struct store_page *page, const char *more,
                                          const struct redis_call *call);
void redis_event_page_take(const struct redis_value *reply, struct store_page *page);

/* store_ack of a reserved user. */
MUST_CHECK enum err redis_event_ack_send(struct redis_commands *commands,
                                         const struct store_ack *ack,
                                         const struct redis_call *call);
/* ERR_STALE_EPOCH, and ERR_NOT_FOUND: there is no such consumer. */
MUST_CHECK enum err redis_event_ack_read(const struct redis_value *reply);

#endif
