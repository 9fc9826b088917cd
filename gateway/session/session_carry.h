/* A session on its way from the process that has it (old) to the one that goes on with it
 * (session_revive.h): old only looks at it, while nobody else may touch it, and lets it go when the
 * other process has it. delivery/delivery_carry.h has the calls that enter and leave the client.
 * Threads: whoever holds the turn of the session's worker. */
#ifndef HERALD_SESSION_CARRY_H
#define HERALD_SESSION_CARRY_H

#include "gateway/session/carried_session.h"
#include "gateway/session/session.h"

/* false: it stays where it is, because it is ending or broken, or speaks TLS. */
bool session_is_carried(const struct session *session);

/* Reads out a session that session_is_carried, and changes nothing in it. The spans of *ret_carried
 * point into the session and its client, and into `scratch`, to which the bytes are appended that
 * the session has queued: they are good until the session or the buffer is changed. ERR_NO_MEMORY;
 * ERR_FULL: `scratch` has no room for these. */
MUST_CHECK enum err session_carry(const struct session *session, struct buf *scratch,
                                  struct carried_session *ret_carried);

/* The other process has it, and it has left its client: its socket is taken out of epoll and
 * closed. Nothing is sent, nor is the socket shut down. */
void session_let_go(struct session *session);

#endif
