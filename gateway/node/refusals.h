/* Refusals on the subscriber port: counted, and told to the operator where somebody can do
 * something about them. Any thread. */
#ifndef HERALD_REFUSALS_H
#define HERALD_REFUSALS_H

#include "gateway/base/metrics.h"
#include "gateway/net/listener.h"
#include "gateway/node/worker.h"
#include "proto/bytes/user_id.h"

/* Counts a request that was refused, by the status of its answer. */
void refused_count(unsigned status);

/* Refuses a connection without a look at its request, with a problem like any other (ERR_CROWDED
 * 429, ERR_FULL 503), and closes it. With TLS nothing is said: that would take a handshake. On the
 * worker's thread. */
void refused_close(struct worker *worker, int fd, enum err error);

/* Whom a refusal is about. */
struct refused_who {
    char address[ADDRESS_MAX_BYTES];
    char user[USER_ID_MAX_BYTES]; /* whom it says it is, unproven */
    size_t user_len;              /* 0: nobody */
    struct span place;            /* the path of its request, or what else it came with */
    struct span origin;           /* of its request, with `host`; empty: it has none */
    struct span host;
};

/* Credentials that were no good: a line a second and cause. `why` is a constant; what was brought
 * is never told. */
void refused_credentials(const struct refused_who *who, const char *why);

/* A request that nobody may make here (403): a line a minute, cause and origin, or else host; for a
 * block a minute and user. `advice` is what would let it in; empty: nothing. Origins that could be
 * a developer's own have lines of their own, whatever others make up. */
enum refused_cause {
    REFUSED_ORIGIN,
    REFUSED_LOCAL_ORIGIN,
    REFUSED_ODD_ORIGIN,
    REFUSED_TWO_ORIGINS,
    REFUSED_SITE,
    REFUSED_PROXY,
    REFUSED_HOST,
    REFUSED_BLOCKED,
    REFUSED_CAUSES
};
void refused_request(enum refused_cause cause, const struct refused_who *who, const char *advice);

/* A page's WebSocket or event stream whose request is faulty: the page sees no status, so its
 * developer looks here. A line a minute and cause; `why` is one of a few sentences. */
void refused_unseen(const struct refused_who *who, const char *why);

/* The sentence that its answer says, too. */
const char *refused_cause_text(enum refused_cause cause);

#endif
