/* A user's acknowledged position (CONTRACT 5.6): the lowest acknowledged number of the open
 * sessions; when the last one has closed, the highest that any of them had acknowledged. It moves
 * in memory at once and is written to the store in batches. Home worker's thread. */
#ifndef HERALD_POSITIONS_H
#define HERALD_POSITIONS_H

#include "gateway/session.h"

/* session->acked has moved. */
void positions_acked(struct session *session);

/* A session has had its first page: the position may move again. */
void positions_settle(struct client *client);

/* The session is out of client->sessions already; with the last one the position is written at
 * once. */
void positions_left(struct session *session);

/* Writes one user's position now, if it is not written yet. */
void positions_store(struct client *client);

/* The worker has ended and every client has left: what is still in the lists is freed. */
void positions_stop(struct worker *worker);

#endif
