/* The answer to a session's request: at once, or held back until it is known that the user is not
 * blocked, because only a status says so. */
#ifndef HERALD_SESSION_ANSWER_H
#define HERALD_SESSION_ANSWER_H

#include "gateway/session/session.h"

/* Queues the answer, or keeps what it needs until session_send_answer or the end of the session. */
MUST_CHECK enum err session_answer_request(struct session *session,
                                           const struct admission *admission);

/* It is not refused: the answer to its request, if it was held back, goes out. */
void session_send_answer(struct session *session);

/* Is its answer held back? */
bool session_is_unanswered(const struct session *session);
/* It is refused: what was held back is dropped. */
void session_forget_answer(struct session *session);

/* An event stream whose answer is held back: its head, with this status, goes out. */
void session_answer_stream(struct session *session, unsigned status);

#endif
