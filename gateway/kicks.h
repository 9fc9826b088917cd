/* Event streams that an operator has ended. EventSource comes back by itself whatever it is told in
 * the stream; only the status of its next request, 204, makes it give up (CONTRACT 2). So each
 * stream that is kicked is remembered for a while, and as many streams of that user that resume are
 * answered so. Home worker. */
#ifndef HERALD_KICKS_H
#define HERALD_KICKS_H

#include "gateway/worker.h"

void kicks_remember(struct worker *worker, struct span user_id);

/* A stream of this user resumes. true: it is one of those, and is remembered no longer. */
bool kicks_take(struct worker *worker, struct span user_id);

void kicks_stop(struct worker *worker); /* forgets all; also after the worker has ended */

#endif
