/* Errors that Redis answers, by the words they begin or end with: what an operator can do, and what
 * they mean for the store. Pure. */
#ifndef HERALD_STORE_REDIS_TROUBLES_H
#define HERALD_STORE_REDIS_TROUBLES_H

#include <stdbool.h>
#include <stddef.h>

/* What Herald finds out itself; there are rows for these as well. */
#define REDIS_WHY_CLUSTER     "this is a node of a Redis Cluster"
#define REDIS_WHY_TWO_REDIS   "commands and subscriptions reached two different Redis"
#define REDIS_WHY_DEAF        "what Redis publishes does not come any more"
#define REDIS_WHY_CERTIFICATE "the certificate of" /* H:P is not good: REASON */
#define REDIS_WHY_SPEAKS_TLS  " speaks TLS"        /* behind H:P */
#define REDIS_WHY_NO_TLS      " does not speak TLS"
#define REDIS_WHY_NO_SHAKE    " does not answer TLS" /* a Redis without TLS waits for more */
#define REDIS_WHY_SENTINEL    "this is a Sentinel"
#define REDIS_WHY_NO_REDIS    "what answers there is no Redis"
#define REDIS_WHY_TOO_OLD     " is too old" /* behind Redis and its version */

/* What Herald finds out about Sentinels. */
#define REDIS_WHY_REPLACED         "a Sentinel is replacing the primary of"
#define REDIS_WHY_NO_SENTINEL      "no Sentinel answers"
#define REDIS_WHY_UNKNOWN_NAME     "no Sentinel knows"
#define REDIS_WHY_OLD_SENTINELS    "the Sentinels know only an older primary of"
#define REDIS_WHY_SENTINEL_REFUSES "a Sentinel refuses: "
#define REDIS_WHY_IS_NO_SENTINEL   " is no Sentinel" /* behind H:P */
#define REDIS_WHY_NO_CLUSTER       "this Redis is not in cluster mode"
#define REDIS_WHY_NO_OWNER         "the Cluster has no owner for slot"

struct redis_trouble {
    const char *word; /* it begins with it; is_ending: it ends with it */
    const char *advice;
    bool is_refusal; /* not of one user: nothing can be stored while it lasts */
    bool is_replica; /* look the name up again: the primary may be another by now */
    bool is_denial;  /* the Redis user lacks a right */
    bool is_missing; /* this Redis does not have the command */
    bool is_of_tls;  /* the connection is there, and TLS does not come about */
    bool is_ending;
};

enum { REDIS_TROUBLES_MAX = 56, REDIS_ADVICE_MAX_BYTES = 160, REDIS_RULE_MAX_BYTES = 96 };

/* The row of an error, below REDIS_TROUBLES_MAX - 1; there is one for every text. */
size_t redis_trouble_find(const char *error);
const struct redis_trouble *redis_trouble_at(size_t row);

/* The advice; of a denial with the ACL rule that is missing. `prefix` is that of the keys. false:
 * the error does not say which; the next trial does. */
bool redis_trouble_advise(const char *error, const char *prefix, char out[REDIS_ADVICE_MAX_BYTES]);

/* Was a script denied a command, perhaps in its middle? */
bool redis_trouble_breaks_off(const char *error);

#endif
