/* Auth messages that come too early, and wait to be verified. */
#ifndef HERALD_SESSION_HOLD_H
#define HERALD_SESSION_HOLD_H

#include "gateway/session/session.h"

/* false: the token is kept, and what comes after it is not read. */
MUST_CHECK bool session_may_verify(struct session *session, struct span token);
/* One of its tokens has been verified: the next one may be verified a second later. */
void session_note_verified(struct session *session);
/* Gives the kept token to the caller, who frees it. */
char *session_take_held(struct session *session, struct span *ret_token);
/* The second of the kept token has come: the connection is read again, and the token waits for its
 * turn. */
void session_hold_resume(struct session *session);
void session_hold_drop(struct session *session); /* the session is closing */

#endif
