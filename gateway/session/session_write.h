/* What goes out to a session: notifications and gaps in the order of their numbers, and what is
 * said about them. delivery/ decides what and when. */
#ifndef HERALD_SESSION_WRITE_H
#define HERALD_SESSION_WRITE_H

#include "gateway/session/session.h"
#include "proto/note/envelope.h"

/* The first page has come: the session continues after this number, and has acknowledged it. */
void session_begin_at(struct session *session, uint64_t seq);

/* The first page has come: what the session begins with (hello; SSE: retry and the position). */
void session_greet(struct session *session, uint64_t head, bool is_resumed);

/* The position that it asked to resume after is not of this epoch, or not yet there: a gap with
 * cause reset. */
void session_reset(struct session *session);

/* Queues a notification and moves the tail to it. What has expired meanwhile becomes a gap.
 * ERR_FULL: session_max_bytes wait already, and nothing was queued. A failure of another kind ends
 * the session (see its state). */
MUST_CHECK enum err session_write(struct session *session, struct notification *note);

/* These numbers will not come. Moves the tail after them; a plain client is sent nothing.
 * Errors as above. */
MUST_CHECK enum err session_gap(struct session *session, const struct gap *gap);

/* These numbers were withdrawn or collapsed. What still waits in memory becomes a gap; for each
 * number that was written and is not acknowledged, the client gets a cancel message. ERR_FULL:
 * session_max_bytes wait, and not all of them were sent (the caller reads a page that looks back).
 */
MUST_CHECK enum err session_withdraw(struct session *session, uint64_t from, uint64_t to,
                                     enum gap_cause cause);

/* As much of the backlog as the connection may have is handed to it. */
void session_feed(struct session *session);

bool session_send_ping(struct session *session); /* false: there is no room for it */
/* herald.v1: */
/* It is closed after that time; `reason` is a constant. */
void session_send_goaway(struct session *session, uint32_t delay_ms, const char *reason);
void session_send_stay(struct session *session); /* it is not */
/* is_owed: the message was taken, and its answer is written whatever waits. */
void session_send_error(struct session *session, const struct envelope_error *told, bool is_owed);
void session_send_accepted(struct session *session, struct span raw_id);
void session_send_pong(struct session *session);

#endif
