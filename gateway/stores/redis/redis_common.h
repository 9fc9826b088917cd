/* What all lanes of the Redis store share: settings, the scripts' texts, and what is reported to
 * the operator. Any thread. */
#ifndef HERALD_STORE_REDIS_COMMON_H
#define HERALD_STORE_REDIS_COMMON_H

#include "gateway/store/store_config.h"
#include "gateway/stores/redis/redis_clock.h"
#include "gateway/stores/redis/redis_record.h"
#include "gateway/stores/redis/redis_sentinels.h"
#include "gateway/stores/redis/redis_tls.h"
#include "gateway/stores/redis/redis_troubles.h"
#include "gateway/stores/redis/redis_url.h"

#include <pthread.h>
#include <stdatomic.h>

enum redis_script {
    SCRIPT_PUSH,
    SCRIPT_PUSHES, /* many in one call */
    SCRIPT_PAGE,
    SCRIPT_ACK,
    SCRIPT_PEEK,
    SCRIPT_LOOK,
    SCRIPT_WITHDRAW,
    SCRIPT_BLOCK,
    SCRIPT_NODE,
    SCRIPT_EVENT_APPEND, /* from here on of partitions */
    SCRIPT_EVENT_PAGE,
    SCRIPT_EVENT_ACK,
    SCRIPT_EVENT_CONSUME,
    SCRIPT_EVENT_PRESENCE,
    SCRIPT_EVENT_SERVE,
    SCRIPT_EVENT_ALERTS,
    SCRIPT_EVENT_ALERT_END,
    SCRIPT_TRIAL,
    SCRIPTS
};

enum { REDIS_SAY_AGAIN_MS = 60000, REDIS_WORDS_MAX_BYTES = 256, REDIS_CLIENT_NAME_MAX_BYTES = 71 };

/* How often a Redis refused to store, for any lane. A lane that has seen fewer tries whether it
 * takes writes again. */
struct redis_refusals {
    uint64_t n;
    uint64_t n_unheard; /* of them: something was kept, and its publication refused */
};

struct redis_cluster;
struct redis_primary;

struct redis_common {
    struct redis_url url;
    struct redis_url sentinel_url;               /* who we are at the Sentinels */
    struct redis_sentinels sentinels;            /* REDIS_SENTINEL */
    struct tls_client *tls;                      /* NULL: without TLS */
    char tls_name[REDIS_HOST_MAX_BYTES + 1];     /* what certificates must name; empty: the host */
    char prefix[REDIS_PREFIX_MAX_BYTES + 1];     /* of keys */
    char channels[REDIS_CHANNELS_MAX_BYTES + 1]; /* what channels begin with */
    char client_name[REDIS_CLIENT_NAME_MAX_BYTES + 1]; /* of this node's connections */
    struct epoch name;                                 /* of this process */
    unsigned n_lanes;
    uint32_t inbox_max;
    uint64_t inbox_max_bytes;
    uint32_t idempotency_window_s;
    uint32_t events_max; /* of a partition, as all below */
    uint64_t events_max_bytes;
    uint32_t event_ttl_s;
    uint32_t alerts_max;
    int wait_replicas; /* below 0: auto */
    struct store_events events;
    void *owner;
    struct span scripts[SCRIPTS];  /* each whole, one text */
    struct redis_clock clock;      /* in a Cluster: until that of a slot's primary is known */
    struct redis_cluster *cluster; /* who has which slot; NULL: it is no Cluster */
    atomic_bool has_warned;        /* about the settings of Redis */

    pthread_mutex_t lock; /* for all below; held for a few instructions, never while calling out */
    struct redis_primary *primaries; /* redis_primary.h */
    bool is_whole;                   /* all of them are up, and have all slots */
    bool has_begun;                  /* each of them was up once, or failed */
    bool is_map_failed;              /* the last node that was asked gave no map of the slots */
    unsigned n_ownerless;            /* slots that nobody has */
    bool is_reported_up;
    bool is_reporting;
    bool is_said_up;                          /* the last line about it says that it is there */
    int64_t said_ms[REDIS_TROUBLES_MAX];      /* of each row: as a refusal */
    int64_t said_away_ms[REDIS_TROUBLES_MAX]; /* and as why Redis cannot be reached */
    char problem[736];                        /* empty: all is well */
};

/* Looks at the settings alone: ERR_INVALID_FIELD, *why is a sentence that says what to do. */
MUST_CHECK enum err redis_common_check(const struct store_config *config, char *why,
                                       size_t why_cap);

MUST_CHECK enum err redis_common_init(struct redis_common *common,
                                      const struct store_config *config, char *why, size_t why_cap);
void redis_common_fini(struct redis_common *common);

/* What certificates must name; NULL: the host. */
static inline const char *redis_common_tls_name(const struct redis_common *common)
{
    return common->tls_name[0] != '\0' ? common->tls_name : NULL;
}

/* Redis cannot be reached or does not let us in; `words` may be the error that it answered. Says so
 * at most once a minute for each kind of reason, with what to do. `where`: an address to show;
 * without it the URL's. */
void redis_common_away(struct redis_common *common, const char *words);
void redis_common_say_away(struct redis_common *common, const char *where, const char *words);
/* Slots of a Cluster have no primary. As above. */
void redis_common_say_ownerless(struct redis_common *common, const char *words);

/* Redis refused a command with this error. As above; is_problem: store_describe shows it. */
void redis_common_say_refused(struct redis_common *common, const char *where, const char *words,
                              bool is_problem);

/* All is well again. Under the lock. */
void redis_common_forget_problem(struct redis_common *common);

void redis_common_describe(struct redis_common *common, char *out, size_t cap);

#endif
