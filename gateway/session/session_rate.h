/* How much a connection may send. */
#ifndef HERALD_SESSION_RATE_H
#define HERALD_SESSION_RATE_H

#include "gateway/session/session.h"

/* Counts what a connection has sent. Over a limit the session is closed with ERR_RATE (4005). */
void session_count_in(struct session *session, size_t n_messages, size_t n_bytes);

#endif
