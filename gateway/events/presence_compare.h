/* How the record is put right: all who are here are written again, and who is not here is found.
 * For presence.c alone. */
#ifndef HERALD_EVENTS_PRESENCE_COMPARE_H
#define HERALD_EVENTS_PRESENCE_COMPARE_H

#include "gateway/events/presence_partition.h"

MUST_CHECK enum err presence_walks_new(struct presence *presence);

/* The partition's worker. All users of this node in the partition are written again. */
void presence_write_again(struct presence_partition *partition);
/* Its worker, or before there are turns of it: users on record for this node who are not here are
 * going to be written as left. */
void presence_list(struct presence_partition *partition, enum offline_cause cause);
/* Its worker: no more is listed; what is under way says nothing. */
void presence_list_end(struct presence_partition *partition);
/* The partition's worker: goes on with the listing. */
void presence_list_on(struct presence_partition *partition, int64_t now_ms);
/* Home worker: are the users of the partition still to be written again? */
bool presence_is_walking(const struct presence *presence, const struct worker *worker,
                         unsigned partition);
/* Each second on each worker. */
void presence_walk_on(struct presence_walk *walk);

#endif
