/* Which users this node has, on record in the store (store_presence): what user.online,
 * user.offline and GET /online are made from. The client map knows who is here; this part carries
 * what changes there to the partitions, and renews the node's lease in each, which also says how
 * many nodes share the serving (serving.h). Where neither user.online nor user.offline is kept,
 * it renews the leases and does nothing else.
 *
 * A change is written at once, if nothing was written to its partition in the last second, and
 * else when that second is over; while the store is away, it is repeated each second. */
#ifndef HERALD_EVENTS_PRESENCE_H
#define HERALD_EVENTS_PRESENCE_H

#include "gateway/events/events_struct.h"

struct worker;

/* Before the workers run; plugs itself into node->delivery_events where presence is kept.
 * ERR_NO_MEMORY, ERR_SYSTEM: the caller frees what was made with presence_free. */
MUST_CHECK enum err presence_new(struct events *events, struct presence **ret_presence);
void presence_free(struct presence *presence); /* after store_close; NULL is fine */

/* For events_start: it writes from here on. What came and went before is in the client map. */
void presence_start(struct presence *presence);
/* For events_on_second. */
void presence_on_second(struct presence *presence, struct worker *worker);

/* The name under which this node's users are on record: drawn for each process, but a process that
 * takes another's place takes its name, too, before it starts. At most STORE_NODE_NAME_MAX_BYTES.
 * It changes in presence_let_go alone. */
struct span presence_name(const struct presence *presence);
void presence_adopt_name(struct presence *presence, struct span name);

/* Writes at once what is not written yet, and waits for the store until then, on the monotonic
 * clock. From outside, while the workers run. */
void presence_flush(struct presence *presence, int64_t until_ms);
/* The other process has the name now. With a shared store whoever stays is kept under a new name,
 * else nothing is kept any more. All workers are parked. */
void presence_let_go(struct presence *presence);

/* A clean stop: all sessions are closed. Writes what it can, gives its leases back, and waits for
 * the store until then; afterwards it asks nothing more. From outside, while the workers run. */
void presence_leave(struct presence *presence, int64_t until_ms);
/* The workers have ended: nothing more is asked of the store. */
void presence_stop(struct presence *presence);

#endif
