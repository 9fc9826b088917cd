/* How old a session may become (--max-session-age). Each lives for a time between 0.8 and 1.2 of
 * the option that follows from its id and its beginning, so nothing is stored for it; another value
 * of the option counts at once. The time while the store is away does not count: the rest of the
 * fleet has the same store, and a session that reconnects would only wait there. */
#ifndef HERALD_SESSION_AGE_H
#define HERALD_SESSION_AGE_H

#include "gateway/session/session.h"

/* A session is told so long before its end. */
enum { SESSION_AGE_AHEAD_MS = 10000 };

/* Does its age end it? Not without the option, while the store is away, or
 * while nobody knows its user. */
bool session_age_counts(const struct session *session);

/* Until when it lives, in ms from now; negative: since then it should have ended. INT64_MAX: its
 * age does not count. */
int64_t session_age_left_ms(const struct session *session);

#endif
