/* Everything that travels, as the running process gives it: from BEGIN to END. For
 * upgrade_freeze. */
#ifndef HERALD_UPGRADE_STREAM_H
#define HERALD_UPGRADE_STREAM_H

#include "gateway/node/worker_park.h"
#include "gateway/upgrade/upgrade_old.h"

struct upgrade_stream;

/* While the workers are parked and every letter is delivered: gives it all, and changes nothing
 * here. false: give->why. `frozen_ms` (monotonic): since when nothing is read or written. In both
 * cases *ret_stream, which may be NULL, is to be freed. */
MUST_CHECK bool upgrade_stream_send(struct upgrade_give *give, struct worker_park *park,
                                    int64_t frozen_ms, struct upgrade_stream **ret_stream);

/* The new process has it: lets go here of what was given, and of nothing else. The workers are
 * still parked, and have done nothing meanwhile. */
void upgrade_stream_let_go(struct upgrade_stream *stream, struct worker_park *park);

void upgrade_stream_free(struct upgrade_stream *stream); /* NULL is fine */

#endif
