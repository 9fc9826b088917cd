/* Sessions that are closed at a moment that was set before: by a drain, or by their age
 * (session_age.h). They get 1012 then, with the time after which to come again; a herald.v1 client
 * is told of the moment beforehand (goaway). Such a session is_draining, and drain_at_ms is its
 * moment; is_aging says that it is its age. A drain comes before the age. */
#ifndef HERALD_SESSION_LEAVING_H
#define HERALD_SESSION_LEAVING_H

#include "gateway/session/session.h"

/* A drain closes it after that time, whatever was set before. */
void session_drain_in(struct session *session, uint32_t delay_ms);
/* The same at a random moment before the end of the drain (node.h). */
void session_drain(struct session *session);
/* The same for a session that was told of its moment before it was handed over. */
void session_drain_at(struct session *session, uint32_t drain_at_ms);

/* The drain is taken back: the session stays, and a herald.v1 client is told so. Does nothing to a
 * session that no drain closes. */
void session_stay(struct session *session);

/* For its timer: it has almost reached its age, so its moment is set. */
bool session_age_is_near(const struct session *session);
void session_begin_aging(struct session *session);

/* For its timer: its moment has come, so it is closed. One that had reached its age stays if that
 * is far again: while the store is away, or because the option has become longer, or is off. */
bool session_leaving_is_over(const struct session *session);
void session_end_leaving(struct session *session);

#endif
