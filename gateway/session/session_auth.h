/* Credentials that come in messages of herald.v1, and what happens when they end. */
#ifndef HERALD_SESSION_AUTH_H
#define HERALD_SESSION_AUTH_H

#include "gateway/session/session.h"

/* A new session whose first message will say who it is: it waits in AUTH, for --auth-timeout. Then
 * on_identified is called, and it becomes another session on the user's home worker. ERR_NO_MEMORY:
 * it has to be closed. */
MUST_CHECK enum err session_await_auth(struct session *session, const struct claim *claim);

/* Says until when its credentials are good, in answer to an auth message. */
void session_send_auth(struct session *session);

void session_on_auth(struct session *session, struct span token); /* an auth message */
void session_on_held_auth(struct session *session);               /* the one that waited */

/* Closes it for its credentials. The close frame and the log say which check failed: `why`, a
 * constant. */
void session_refuse_auth(struct session *session, enum err error, const char *why);
/* The same for what session_auth_is_over says. */
void session_end_auth(struct session *session, enum err error);

#endif
