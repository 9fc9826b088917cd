/* The beginning of a session. */
#ifndef HERALD_SESSION_LIFE_H
#define HERALD_SESSION_LIFE_H

#include "gateway/session/session.h"

/* Takes over the socket and queues the 101. The 200 of an event stream is held back until there is
 * something to say, because an EventSource that is blocked must hear 204 instead. On error the
 * socket is still the caller's. The session is NEW: it has no client yet. */
MUST_CHECK enum err session_new(struct worker *worker, const struct admission *admission,
                                struct session **ret_session);

/* For session_carry.c, which makes sessions on another way. */
extern const struct conn_ops session_conn_ops;
void session_on_timer(struct timer *timer);

#endif
