/* How much a connection may send. */
#ifndef HERALD_SESSION_RATE_H
#define HERALD_SESSION_RATE_H

#include "gateway/session/session.h"

/* Something has come in. Over a limit the session is closed (4008). */
void session_count_in(struct session *session, size_t n_messages, size_t n_bytes);

#endif
