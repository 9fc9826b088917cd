/* Refusals on the subscriber port: counted, and told to the operator where somebody can do
 * something about them. Any thread. */
#ifndef HERALD_REFUSED_H
#define HERALD_REFUSED_H

#include "gateway/base/metrics.h"
#include "gateway/gateway.h"
#include "gateway/worker.h"
#include "proto/user_id.h"

/* Counts a request that was refused, by the status of its answer. */
void refused_count(unsigned status);

/* Refuses a connection without a look at its request (429, 503), and closes it. With TLS nothing is
 * said: that would take a handshake. On the worker's thread. */
void refused_close(struct worker *worker, int fd, unsigned status);

/* Whom a refusal is about. */
struct refused_who {
    char address[ADDRESS_MAX_BYTES];
    char user[USER_ID_MAX_BYTES]; /* whom it says it is, unproven */
    size_t user_len;              /* 0: nobody */
    struct span place;            /* the path of its request, or what else it came with */
};

/* Credentials that were no good: a line a second and cause. `why` is a constant; what was brought
 * is never told. */
void refused_credentials(const struct refused_who *who, const char *why);

/* A request that nobody may make here (403), of these `Origin` and `Host` (empty: it has none): a
 * line a minute, cause and origin, or else host. `advice` is what would let it in; empty: nothing.
 */
enum refused_cause { REFUSED_ORIGIN, REFUSED_SITE, REFUSED_PROXY, REFUSED_HOST, REFUSED_CAUSES };
void refused_request(enum refused_cause cause, const struct refused_who *who, struct span origin,
                     struct span host, const char *advice);

/* The sentence that its answer says, too. */
const char *refused_cause_text(enum refused_cause cause);

#endif
