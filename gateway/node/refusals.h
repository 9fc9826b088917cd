/* Refusals on the subscriber port: counted, and logged where an operator or a developer can do
 * something about them. Any thread; nothing is kept of what is passed. */
#ifndef HERALD_REFUSALS_H
#define HERALD_REFUSALS_H

#include "gateway/net/listener.h"
#include "proto/bytes/user_id.h"

/* Counts a refused request by the status of its answer. */
void refusals_count(unsigned status);

/* What a refusal is about, as the log names it. */
struct refusal_subject {
    char address[ADDRESS_MAX_BYTES];
    char user[USER_ID_MAX_BYTES]; /* the userId that it claims, unproven */
    size_t user_len;              /* 0: none */
    struct span path;             /* of its request; or what else the credentials came in */
    struct span origin;           /* of its request, as `host`; empty: it has none */
    struct span host;
};

/* Credentials that a check has failed: at most one line a second and cause. `why` is a constant;
 * the credentials themselves are never logged. */
void refusals_log_credentials(const struct refusal_subject *subject, const char *why);

/* A request that is forbidden (403): at most one line a minute for a cause and an origin, or else a
 * host; for BLOCKED, for a user. `advice` is what would let it in; empty: nothing does. Origins
 * that could be a developer's own (LOCAL_ORIGIN) have lines of their own, however many origins
 * others make up. */
enum refusal_cause {
    REFUSAL_ORIGIN,
    REFUSAL_LOCAL_ORIGIN,
    REFUSAL_ODD_ORIGIN,
    REFUSAL_TWO_ORIGINS,
    REFUSAL_SITE,
    REFUSAL_PROXY,
    REFUSAL_HOST,
    REFUSAL_BLOCKED,
    REFUSAL_CAUSES
};
void refusals_log_request(enum refusal_cause cause, const struct refusal_subject *subject,
                          const char *advice);

/* A malformed request of a page's WebSocket or event stream. The page sees no status, so its
 * developer looks here. At most one line a minute and cause; `why` is one of a few sentences. */
void refusals_log_unseen(const struct refusal_subject *subject, const char *why);

/* The sentence of the cause, for the answer as well. */
const char *refusal_cause_text(enum refusal_cause cause);

#endif
