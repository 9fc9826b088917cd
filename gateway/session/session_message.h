/* What a client says to the backends (--client-messages). */
#ifndef HERALD_SESSION_MESSAGE_H
#define HERALD_SESSION_MESSAGE_H

#include "gateway/session/session.h"
#include "proto/note/envelope.h"

/* herald.v1: answers `accepted` when it is kept, otherwise an error. */
void session_on_message(struct session *session, const struct envelope_message *message);

/* Is a text of this plain session a message? Otherwise it is counted and dropped. */
bool session_takes_texts(const struct session *session);
/* It is one. A client that says what cannot be taken is closed. */
void session_on_text(struct session *session, struct span text);

#endif
