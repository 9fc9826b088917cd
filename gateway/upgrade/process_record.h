/* The state of this process beside its connections, written for the next one and taken over from
 * the one before (carried_process.h). */
#ifndef HERALD_UPGRADE_PROCESS_RECORD_H
#define HERALD_UPGRADE_PROCESS_RECORD_H

#include "gateway/node/worker.h"
#include "gateway/upgrade/record_table.h"

/* While the workers are parked: appends what the next process must know, and changes nothing.
 * frozen_ms, monotonic: when they were. Of more kicks and tickets than a message takes some are
 * left out, which is logged. ERR_FULL, ERR_NO_MEMORY. */
MUST_CHECK enum err process_record_write(struct node *node, int64_t frozen_ms, unsigned format,
                                         struct buf *out);

/* While the workers run, on a thread that is none of theirs, before the first session is adopted.
 * *ret_frozen_ms, monotonic: when the other process froze; now if it says none that can be. Errors
 * and `why` as of record_read: then nothing was taken over. */
MUST_CHECK enum err process_record_read(struct span bytes, struct node *node,
                                        int64_t *ret_frozen_ms, char why[RECORD_WHY_MAX_BYTES]);

#endif
