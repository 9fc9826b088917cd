/* The webhooks of this node: for each endpoint of --webhooks and each partition that this node
 * serves, a batch of events under way at most. An endpoint is a consumer of each partition, `w` and
 * its name, so its position outlives the process.
 *
 * Everything happens on the sender's thread, but for what is said here of others. The file is read
 * by the thread that calls webhooks_reload. */
#ifndef HERALD_EVENTS_WEBHOOKS_H
#define HERALD_EVENTS_WEBHOOKS_H

#include "gateway/events/events_struct.h"

/* Are --webhooks and --webhook-proxy as they must be? `types`: of --events. ERR_INVALID_FIELD:
 * *why is a sentence that names the option, and of the file its line and field. */
MUST_CHECK enum err webhooks_check(const struct options *options, unsigned types, char *why,
                                   size_t why_cap);

/* NULL in *ret_webhooks: --webhooks is not set. Before threads start that use OpenSSL. Errors as
 * webhooks_check; ERR_SYSTEM, ERR_NO_MEMORY. */
MUST_CHECK enum err webhooks_new(struct events *events, struct webhooks **ret_webhooks, char *why,
                                 size_t why_cap);

/* All that follow: NULL is fine. */

/* The store can be asked: the consumers are added in all partitions, and readiness waits for that
 * (node->awaits_webhooks). Main thread. */
void webhooks_start(struct webhooks *webhooks);

/* Waits until the store has answered for each endpoint, at most WEBHOOKS_SETTLE_MS: what it has not
 * said by then is asked again in the background. ERR_CONFLICT: there are too many consumers; *why
 * names them. ERR_SYSTEM: no thread could be started. Main thread. */
enum { WEBHOOKS_SETTLE_MS = 1500 };
MUST_CHECK enum err webhooks_settle(struct webhooks *webhooks, char *why, size_t why_cap);

/* Begins no further request, gives those under way WEBHOOKS_FINISH_MS and then cuts them, and has
 * the positions written. Blocks for at most twice that time; not on a worker's thread, and while
 * the store and the workers run. */
enum { WEBHOOKS_FINISH_MS = 1000 };
void webhooks_stop(struct webhooks *webhooks);

/* Herald drains or stops: tests under way have WEBHOOKS_FINISH_MS, and are then cut, so that
 * whoever waits for one has an answer. Any thread. */
void webhooks_end_tests(struct webhooks *webhooks);

/* Delivers what has come since, from the store and from operators. After webhooks_stop (or without
 * a start) and store_close, while the workers are there. */
void webhooks_close(struct webhooks *webhooks);
/* After webhooks_close. */
void webhooks_free(struct webhooks *webhooks);

/* Reads the file again if it has changed, or `must`. An endpoint that has left it is forgotten; one
 * that was switched off, or waits, is tried at once. Of a bad file nothing is taken, and the log
 * says why. One thread at a time. */
void webhooks_reload(struct webhooks *webhooks, bool must);

/* Has the file in use an endpoint of this name? SPAN_NONE: any endpoint? Any thread. */
MUST_CHECK bool webhooks_have(struct webhooks *webhooks, struct span name);

#endif
