/* When something is due for a session: its one timer, and the questions to which deadline has come.
 * Milliseconds on session_clock. */
#ifndef HERALD_SESSION_DEADLINES_H
#define HERALD_SESSION_DEADLINES_H

#include "gateway/session/session.h"

/* For what has come in, when the clock says that nothing has: it may be this process that stood
 * still. */
enum { SESSION_LAST_CHANCE_MS = 50 };

/* Sets the timer to the earliest of what is to come; it fires then, and session_life.c looks. That
 * of a held session is set when it goes on. */
void session_set_timer(struct session *session);

/* Has a message or a frame begun, and its end is not here after --slow-timeout? */
bool session_is_unfinished_late(struct session *session);

/* Have its credentials ended (ERR_EXPIRED), or has none come in time (ERR_AUTH_TIMEOUT)? */
bool session_auth_is_over(const struct session *session, enum err *ret_error);

/* Does an auth message wait to be verified (session_hold.h)? */
bool session_is_holding(const struct session *session);
bool session_hold_is_over(const struct session *session); /* its second has come */

#endif
