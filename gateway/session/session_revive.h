/* A session that another process has begun (session_carry.h). It is made held: it enters its client
 * and its queue fills, but its socket is not touched and its clock stands still until session_go,
 * because the other process may have to go on with it. Threads: whoever holds the turn of the
 * session's worker. */
#ifndef HERALD_SESSION_REVIVE_H
#define HERALD_SESSION_REVIVE_H

#include "gateway/session/carried_session.h"
#include "gateway/session/session.h"

struct peers;

/* Makes the session, held: NEW, or AUTH for a stranger. Counts it, its socket and its address among
 * the subscriber port's `peers`, whose limits refuse nobody here. Copies what it needs of *carried.
 * On an error the socket is still the caller's: ERR_NO_MEMORY; ERR_PROTOCOL: *carried contradicts
 * itself. */
MUST_CHECK enum err session_revive(struct worker *worker, struct peers *peers,
                                   const struct carried_session *carried, int fd,
                                   struct session **ret_session);

/* The socket is this process's: it is read and written from now on, and the session's clock goes
 * on. One that was closed meanwhile says so now. Without memory its connection breaks. */
void session_go(struct session *session);

/* Any thread. Instead of a session that could not be made, when the socket is this process's: sends
 * what was left unwritten and how it ends (1012; the answer 503 where its request is unanswered; a
 * retry to an event stream), as far as the kernel takes it at once, and closes the socket. Of
 * *carried that is all it reads: level, unwritten, is_unanswered and answer. */
void session_turn_away(int fd, const struct carried_session *carried);

#endif
