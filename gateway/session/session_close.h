/* Every way to end a session. None frees it before the end of the turn; none may be used again on a
 * session that is CLOSED. */
#ifndef HERALD_SESSION_CLOSE_H
#define HERALD_SESSION_CLOSE_H

#include "gateway/session/session.h"

/* Sends a close frame with the error's code and its title as the reason, and leaves. Does nothing
 * to a session that is closing already. */
void session_close(struct session *session, enum err error);
/* The same with another reason (empty: the title), and how long the client should wait before it
 * comes again (0: the reason names no time). */
void session_close_with(struct session *session, enum err error, struct span reason,
                        uint32_t retry_ms);
/* Each session of the client. */
void session_close_all(struct client *client, enum err error, struct span reason);

/* Another epoch has begun: the client's sessions get a gap with cause reset and are closed (4004).
 */
void session_resync_all(struct client *client);

/* The socket is closed; the memory goes at the end of the turn. */
void session_finish(struct session *session);
/* It leaves its client and waits for the end of its connection, two seconds at most. */
void session_begin_closing(struct session *session, enum offline_cause cause);
/* These two seconds begin now; for a held session when it goes on. */
void session_linger(struct session *session);
/* Its socket has been given away (conn_release): the session leaves, and nothing is sent. The
 * memory goes at the end of the turn. */
void session_detach(struct session *session);
/* It leaves its client, and no longer counts as a session. All of these call it, once; so does the
 * end of a connection that broke. */
void session_leave(struct session *session, enum offline_cause cause);

/* The worker's thread, or after it has ended: no more waiting for the sessions that are CLOSING. */
void session_abandon_closing(struct worker *worker);

#endif
