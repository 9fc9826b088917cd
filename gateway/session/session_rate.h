/* How much a connection may send. */
#ifndef HERALD_SESSION_RATE_H
#define HERALD_SESSION_RATE_H

#include "gateway/session/session.h"

/* Counts what a connection has sent. Over a limit the session is closed with ERR_RATE (4005). */
void session_count_in(struct session *session, size_t n_messages, size_t n_bytes);

/* In how many microseconds its buckets are full again; false: they are full. */
bool session_rates_left(const struct session *session, int32_t *ret_messages_us,
                        int32_t *ret_bytes_us);
/* From now on they are full in so many. ERR_NO_MEMORY. */
MUST_CHECK enum err session_rates_set(struct session *session, int32_t messages_us,
                                      int32_t bytes_us);

#endif
