/* Messages of a session that were taken for the backends and have no answer yet, and when its
 * socket is not read because of them. */
#ifndef HERALD_SESSION_UNANSWERED_H
#define HERALD_SESSION_UNANSWERED_H

#include "gateway/session/session.h"

/* With so many nothing more is read, until half of them are answered. */
enum { SESSION_MAX_UNANSWERED = 64 };

/* A message was taken. session->extra is there. */
void session_count_unanswered(struct session *session);
/* A message is answered, and its session is still open. */
void session_count_answered(struct session *session);

/* While its client's bytes are read: rests, if there are too many, or no room for answers. */
void session_rest_if_full(struct session *session);
/* Reads on, if it rests and need not any more. */
void session_read_on(struct session *session);
/* It is closing: the peer's close frame is yet to come. */
void session_rest_end(struct session *session);

/* Before an upgrade: the open WebSockets of this worker rest from their next bytes on, so that all
 * messages that were taken can be answered (worker->n_unanswered). The worker's thread. */
void session_hold_all(struct worker *worker);
/* In session_on_bytes, while that holds. */
void session_rest_while_held(struct session *session);
/* They go on. */
void session_read_on_all(struct worker *worker);

#endif
