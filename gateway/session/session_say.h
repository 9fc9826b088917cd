/* The one door for all that is written to a session's connection after the answer to its request.
 */
#ifndef HERALD_SESSION_SAY_H
#define HERALD_SESSION_SAY_H

#include "gateway/session/session.h"

/* Why something is said, and what happens to it when --session-max-bytes wait already. */
enum say {
    SAY_ANSWER, /* the client asked: left out, and counted */
    SAY_OWED,   /* the answer to a message that was taken for the backends: written. At most
                 * SESSION_MAX_UNANSWERED wait for one, and no more are taken without room */
    SAY_SIGN,   /* a sign of life, or of a close that a drain has set or taken back: left out */
    SAY_INBOX,  /* a gap or a withdrawal: written, and only while session_takes_more */
    SAY_ONCE,   /* once in the life of a session (hello, reset, close): written */
};

/* false: it was left out. A failure of another kind ends the session (see its state). */
bool session_say(struct session *session, enum say why, const void *bytes, size_t len);
bool session_say_text(struct session *session, enum say why, struct span text); /* as a frame */
/* A notification's frame, while the session is not busy. */
MUST_CHECK enum err session_say_payload(struct session *session, struct payload *payload);

/* Bytes that wait in memory to be written. */
size_t session_queued_bytes(const struct session *session);
/* Is there room for `len` more bytes in memory? There always is while nothing waits. */
bool session_has_room(const struct session *session, size_t len);
/* Does little enough wait in the connection to hand it more of the inbox? */
bool session_takes_more(const struct session *session);
/* Must notifications, gaps and withdrawals wait in the backlog? */
bool session_is_busy(const struct session *session);

#endif
