/* A session on its way from the process that has it (old) to the one that goes on with it (new).
 * Old only looks at it, while nobody else may touch it, and lets it go when new has it. New makes
 * it anew, held: it is in its client and its queue fills, but its socket is not touched and its
 * clock stands still until session_go.
 *
 * Threads: whoever holds the turn of the session's worker. delivery/delivery_carry.h has the calls
 * that enter and leave the client; callers above use those. */
#ifndef HERALD_SESSION_CARRY_H
#define HERALD_SESSION_CARRY_H

#include "gateway/session/carried_session.h"
#include "gateway/session/session.h"

/* ---- old ---- */

/* false: it stays where it is, because it is ending or broken, or speaks TLS. */
bool session_is_carried(const struct session *session);

/* Reads out a session that session_is_carried, and changes nothing in it. The spans of *ret_carried
 * point into the session and its client, and into `scratch`, to which the bytes are appended that
 * the session has queued: they are good until the session or the buffer is changed. ERR_NO_MEMORY,
 * ERR_FULL: `scratch` has no room for these. */
MUST_CHECK enum err session_carry(const struct session *session, struct buf *scratch,
                                  struct carried_session *ret_carried);

/* New has it: it leaves, its socket is taken out of epoll and closed, and nothing is sent, nor is
 * the socket shut down. It has left its client before (delivery_let_go). */
void session_let_go(struct session *session);

/* ---- new ---- */

/* Makes a session of it, held: state NEW, or AUTH for a stranger. Counts it, its socket and its
 * address, whose limits refuse nobody here. Copies what it needs of *carried. On an error the
 * socket is still the caller's: ERR_NO_MEMORY, ERR_SYSTEM; ERR_PROTOCOL: *carried contradicts
 * itself. */
MUST_CHECK enum err session_revive(struct worker *worker, const struct carried_session *carried,
                                   int fd, struct session **ret_session);

/* From now on the socket is this process's, and the session's clock goes on. Without memory its
 * connection breaks. One that was closed meanwhile says so now. */
void session_go(struct session *session);

/* Instead of a session that could not be made: sends what was left unwritten and a close frame with
 * 1012, or the answer 503 where its request is unanswered, as far as the kernel takes it at once,
 * and closes the socket. Only when the socket is this process's. Any thread. */
void session_turn_away(int fd, const struct carried_session *carried);

#endif
