/* Event streams that an operator has ended. EventSource comes back by itself; a kicked stream is
 * told to wait for a day before it does (session_sse.c), and a client that comes back all the same
 * gives up when its request is answered 204 (CONTRACT 2). So each stream that is kicked is
 * remembered for a while, and as many streams of that user that resume are answered so. Home
 * worker. */
#ifndef HERALD_KICKED_STREAMS_H
#define HERALD_KICKED_STREAMS_H

#include "gateway/node/worker.h"

void kicked_streams_remember(struct worker *worker, struct span user_id);

/* A stream of this user resumes. true: it is one of those, and is remembered no longer. */
bool kicked_streams_take(struct worker *worker, struct span user_id);

void kicked_streams_stop(struct worker *worker); /* forgets all; also after the worker has ended */

#endif
