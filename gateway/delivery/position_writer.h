/* Writes acknowledged positions to the store. A position that has moved is written about a second
 * later, so that one write covers all that was acknowledged meanwhile; the writes of a worker's
 * users are spread over that second in slots of 64 ms. A write that finds the store away is tried
 * again while the user is here. When the user has gone, the notifications come again (CONTRACT
 * 5.3). Home worker's thread. */
#ifndef HERALD_POSITION_WRITER_H
#define HERALD_POSITION_WRITER_H

#include "gateway/node/worker.h"

struct position_writer;

/* Makes worker->position_writer. ERR_NO_MEMORY. */
MUST_CHECK enum err position_writer_new(struct worker *worker);
/* Every client has left. Frees those that are still in a slot, too. */
void position_writer_free(struct worker *worker);

/* A position of the user has moved: it is written in the last slot of the second. */
void position_writer_mark(struct client *client);

/* Writes it now. `written`: the highest number that a session which leaves was written, as in
 * store_ack; 0: none. */
void position_writer_write(struct client *client, struct position *position, uint64_t written);

/* Writes it now, if the store does not have it yet. */
void position_writer_write_if_moved(struct client *client, struct position *position);

/* Writes now each of the user's positions that the store does not have yet. */
void position_writer_flush(struct client *client);

#endif
