/* Drains: sessions are closed with 1012, each at a moment of its own that is set beforehand
 * (session_leaving.h).
 *
 * SIGTERM ends the node: drain_announce, then drain_begin. Nobody is refused in it; what still
 * comes in is closed with the others. POST /drain (gateway_drain in requests.h) closes all sessions
 * and refuses new ones, or closes some while the node stays ready; it can be taken back. The latest
 * plan counts: whom it does not name stays. Once SIGTERM has come, nothing is asked any more.
 *
 * A plan of gateway_drain closes the longest connected first and at an even rate, on each worker by
 * the ids of its connections; SIGTERM draws each moment, for which it needs no memory. Each worker
 * goes through its clients in slices. */
#ifndef HERALD_REQUESTS_DRAIN_H
#define HERALD_REQUESTS_DRAIN_H

#include "gateway/node/worker.h"

struct admission;
struct session;

/* Before the workers run; freed after they have ended. ERR_NO_MEMORY. */
MUST_CHECK enum err drains_new(struct node *node, struct drains **ret_drains);
void drains_free(struct drains *drains); /* NULL is fine */

/* SIGTERM, first: readiness fails, and the other nodes are told; new sessions are taken as before.
 * Answers for how many ms that should last: --drain-delay, less the time since a drain of all was
 * asked for, of which balancers know already. Any thread, while the workers run. */
uint32_t drain_announce(struct node *node);
/* SIGTERM, second: every session gets a random moment within that time, unless it has an earlier
 * one. Any thread, while the workers run. */
void drain_begin(struct node *node, uint32_t drain_ms);

/* Has SIGTERM come? Any thread. */
bool drain_is_ending(const struct node *node);

/* A process takes this node over, and with it a drain of all that has begun: it ends in so many ms.
 * The sessions bring their moments along. Any thread. */
void drain_adopt(struct node *node, int32_t ends_in_ms);

/* Over how many ms the closes are spread: --drain-time, or its default. Once the store is open. */
uint32_t drain_time_ms(const struct node *node);

/* The worker's thread, for COMMAND_DRAIN: something of the above has changed. */
void drain_apply(struct worker *worker);

/* Home worker: the session has just begun, and may belong to those that are closed. `admission`
 * says whether it was told of a moment before it was handed over. */
void drain_arrived(struct session *session, const struct admission *admission);

#endif
