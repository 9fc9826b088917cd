/* Who serves a partition, and what is due there. On the lane's thread; _send and _read as in
 * redis_event_log.h. */
#ifndef HERALD_STORE_REDIS_EVENT_SERVE_H
#define HERALD_STORE_REDIS_EVENT_SERVE_H

#include "gateway/stores/redis/redis_event.h"

MUST_CHECK enum err redis_serve_send(struct redis_commands *commands, struct store_request *request,
                                     const struct redis_call *call);
MUST_CHECK enum err redis_serve_read(const struct redis_value *reply,
                                     struct store_request *request);

MUST_CHECK enum err redis_alert_end_send(struct redis_commands *commands,
                                         struct store_request *request,
                                         const struct redis_call *call);
MUST_CHECK enum err redis_alert_end_read(const struct redis_value *reply,
                                         struct store_request *request);

/* Where the answers say that nothing was published. */
enum { REDIS_SERVE_UNHEARD = 7, REDIS_ALERT_END_UNHEARD = 2 };

/* An alert as Redis keeps it, EPOCH:SEQ:PUSHED:USER. */
enum { REDIS_ALERT_MAX_BYTES = EPOCH_LEN + 2 * PUT_NUMBER_MAX_BYTES + 3 + USER_ID_MAX_BYTES };
struct span redis_alert_write(const struct store_alert *alert, char out[REDIS_ALERT_MAX_BYTES]);

#endif
