/* Writes acknowledged positions to the store, a while after they have moved, so that one write
 * covers all that was acknowledged meanwhile, and so that the user's next push can take the
 * position along (store_target.known_acked), which spares the write. A position waits for at most a
 * second; for two seconds with a store that other nodes share, where a write costs as much as a
 * push, unless the user has devices. The writes of a worker's users are spread over that time. A
 * write that finds the store away is tried again while the user is here. When this node dies, what
 * it has not written comes again; so does what a user who has gone could not leave, the store being
 * away (CONTRACT 5.3). Home worker's thread. */
#ifndef HERALD_POSITION_WRITER_H
#define HERALD_POSITION_WRITER_H

#include "gateway/node/worker.h"

struct position_writer;

/* Makes worker->position_writer. ERR_NO_MEMORY. */
MUST_CHECK enum err position_writer_new(struct worker *worker);
/* Every client has left. Frees those that are still in a slot, too. */
void position_writer_free(struct worker *worker);

/* Has the store all of the user's positions, as far as is known here? */
bool position_writer_has_all(const struct client *client);

/* A position of the user has moved: it is written when it has waited for that long, and if the
 * store had all before (had_all), no position of the user has waited until now. */
void position_writer_mark(struct client *client, bool had_all);

/* Writes it now. `written`: the highest number that a session which leaves was written, as in
 * store_ack; 0: none. */
void position_writer_write(struct client *client, struct position *position, uint64_t written);

/* Writes it now, if the store does not have it yet. */
void position_writer_write_if_moved(struct client *client, struct position *position);

/* Writes now each of the user's positions that the store does not have yet. */
void position_writer_flush(struct client *client);

/* The same for all users of the worker, with one call of the store. Answers how many writes there
 * have been on this worker, ever, for position_writer_has_written. */
uint64_t position_writer_write_all(struct worker *worker);

/* Has the store answered as many of them? Any thread. */
bool position_writer_has_written(const struct worker *worker, uint64_t n);

#endif
