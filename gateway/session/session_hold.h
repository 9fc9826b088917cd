/* Auth messages that come too early, and wait to be verified. */
#ifndef HERALD_SESSION_HOLD_H
#define HERALD_SESSION_HOLD_H

#include "gateway/session/session.h"

/* false: the token is kept, and what comes after it is not read. */
MUST_CHECK bool session_may_verify(struct session *session, struct span token);
/* A token of it has been verified: the next one waits for the next second. */
void session_note_verified(struct session *session);
/* The kept token, which the caller frees; it is kept no longer. */
char *session_take_held(struct session *session, struct span *ret_token);
/* Its second has come: it is read again, and has its turn. */
void session_hold_resume(struct session *session);
void session_hold_drop(struct session *session); /* the session is closing */

#endif
