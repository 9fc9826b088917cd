/* A subscriber's socket on its way to the user's home worker, where it becomes a session: from an
 * HTTP connection whose request was accepted, or from a session that waited in AUTH and whose user
 * is known now. Between threads it travels as a letter, and one thread at a time has it. */
#ifndef HERALD_HANDOVER_H
#define HERALD_HANDOVER_H

#include "gateway/net/mailbox.h"
#include "gateway/session/admission.h"

struct session;
struct worker;

struct handover {
    struct letter letter;
    struct worker *home;
    struct admission admission; /* its spans lie in what follows */
    size_t n_early;             /* received, and not read yet: at the end of what follows */
    uint8_t *early;
    char bytes[]; /* the User-Agent, the origin, the early bytes */
};

/* The admission, what its spans point to, and the early bytes (received after the request's head)
 * are copied; the caller then gives it the socket and the peer. NULL: out of memory. */
struct handover *handover_new(const struct admission *admission, struct span early);

/* For session_events.on_identified: the session's socket goes to the home worker of its user, with
 * what it received and did not read. The session is detached; out of memory, it is given up. */
void handover_identified(struct session *session);

/* On the thread of `from`, the worker that has the socket. If that is the user's home the session
 * begins before this returns; otherwise a letter takes the handover to the home. Takes over the
 * handover, its socket and peer, which the caller has counted in node->n_sockets and n_sessions.
 * What cannot become a session is closed, and the counts are given back. */
void handover_send(struct handover *handover, struct worker *from);

#endif
