/* Event streams that an operator has ended. EventSource reconnects by itself: a kicked stream is
 * sent a `retry` of one day, and a client that reconnects earlier all the same gives up when its
 * request is answered 204 (CONTRACT 2). So each kicked stream is remembered for 30 s, in which such
 * a client is back, and one stream of that user that resumes is answered so for each. A worker
 * remembers at most 10 000; beyond that it forgets the oldest (counted), which may then reconnect.
 * Home worker's thread. */
#ifndef HERALD_KICKED_STREAMS_H
#define HERALD_KICKED_STREAMS_H

#include "gateway/node/worker.h"

/* Makes worker->kicked_streams. ERR_NO_MEMORY. */
MUST_CHECK enum err kicked_streams_new(struct worker *worker);
void kicked_streams_free(struct worker *worker);

/* Without memory it is not remembered. */
void kicked_streams_remember(struct worker *worker, struct span user_id);

/* A stream of this user resumes. true: one was kicked, which is remembered no longer. */
bool kicked_streams_take(struct worker *worker, struct span user_id);

/* For another process that goes on with the worker's sessions. Calls with each that is remembered
 * and for how long it will be, the oldest first; the text is valid within the call. */
void kicked_streams_each(const struct worker *worker,
                         void (*visit)(void *owner, struct span user_id, int64_t left_ms),
                         void *owner);
/* As kicked_streams_remember, for what another process has remembered and so much time is left of.
 */
void kicked_streams_adopt(struct worker *worker, struct span user_id, int64_t left_ms);

#endif
