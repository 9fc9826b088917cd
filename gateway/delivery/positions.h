/* A user's acknowledged positions (CONTRACT 5.6): one for the sessions without a device, one for
 * each device. Each is the lowest acknowledged number of its open sessions; when the last one has
 * closed, the highest that any of them had acknowledged. It moves in memory at once and is written
 * to the store in batches (position_writer.h). Home worker's thread. */
#ifndef HERALD_POSITIONS_H
#define HERALD_POSITIONS_H

#include "gateway/session/session.h"

/* A session enters its client: finds or makes its position. ERR_NO_MEMORY. */
MUST_CHECK enum err positions_enter(struct session *session, struct span device);

/* A page has said how far the store has the position. Ignored once that is known, because from then
 * on this node knows better. */
void positions_learn(struct client *client, struct position *position, uint64_t stored);

/* A page that was read after something may have been missed has said so: what the store has lost of
 * the position is written again. */
void positions_compare(struct client *client, struct position *position, uint64_t stored);

/* The position of a session that has entered its client. */
struct position *positions_of(const struct session *session);

/* session->acked has moved, or the session has had its first page: the position may move. */
void positions_acked(struct session *session);

/* A session leaves; it is out of client->sessions already. What the last session of a position
 * leaves is written at once. */
void positions_leave(struct session *session);

/* The same without writing anything: the session goes on in another process. */
void positions_part(struct session *session);

/* What sessions that another process has begun have acknowledged there counts, as far as the store
 * does not have it: to be called when all of the user's sessions have gone on (session_revive.h).
 */
void positions_revived(struct session *session);

/* The store has the shared position as far as `acked` already: a push has carried it there. */
void positions_stored(struct client *client, uint64_t acked);

#endif
