/* What the requests of the event log (store_event_request.h) have in common as scripts. On the
 * lane's thread. */
#ifndef HERALD_STORE_REDIS_EVENT_H
#define HERALD_STORE_REDIS_EVENT_H

#include "gateway/store/store_event_request.h"
#include "gateway/stores/redis/redis_answer.h"

/* Where each of these requests has its partition. */
_Static_assert(offsetof(struct store_event_append, partition) ==
                       offsetof(struct store_consumers, partition) &&
                   offsetof(struct store_event_append, partition) ==
                       offsetof(struct store_presence, partition) &&
                   offsetof(struct store_event_append, partition) ==
                       offsetof(struct store_present, partition) &&
                   offsetof(struct store_event_append, partition) ==
                       offsetof(struct store_serve, partition) &&
                   offsetof(struct store_event_append, partition) ==
                       offsetof(struct store_alert_end, partition),
               "the partition stands first in each");

static inline bool redis_is_of_events(const struct store_request *request)
{
    return request->op >= STORE_OP_EVENT_APPEND && request->op <= STORE_OP_ALERT_END;
}

/* The reserved user of a request's partition. */
static inline struct span redis_event_user(const struct store_request *request)
{
    return store_partition_user(
        ((const struct store_event_append *)(const void *)request)->partition);
}

/* A page, an acknowledgement or a peek may be of a partition, too. */
static inline bool redis_is_reserved(struct span user_id)
{
    return user_id.len > 0 && user_id.bytes[0] == STORE_RESERVED_BYTE;
}

/* PREFIX:{%events.P}:inbox and so on, and the channel. */
void redis_event_keys(const struct redis_common *common, struct span user, struct redis_keys *keys);

/* What a partition has besides, each after PREFIX:{%events.P} of `keys`. */
enum { REDIS_EVENT_KEY_MAX_BYTES = REDIS_KEY_MAX_BYTES + 4 + STORE_NODE_NAME_MAX_BYTES };
struct redis_event_key {
    struct span text; /* in `bytes` */
    char bytes[REDIS_EVENT_KEY_MAX_BYTES];
};
struct redis_event_keys {
    struct redis_event_key on, users, offline, leases, serve, alerts;
};
void redis_event_keys_more(const struct redis_keys *keys, struct redis_event_keys *more);
/* PREFIX:{%events.P}:on:NODE; of a longer name the beginning counts. */
struct span redis_event_key_of_node(const struct redis_keys *keys, struct span node,
                                    struct redis_event_key *key);

/* What a script that appends events has of its partition: its keys, and its first argument. That is
 * the limits, up to REDIS_EVENT_NUMBERS_MAX numbers of its own and an epoch to begin, which it
 * unpacks as "ddd", a "d" each, and "c8". ERR_NO_MEMORY and the like of epoch_random. */
enum { REDIS_EVENT_NUMBERS_MAX = 7 };
struct redis_event_script {
    struct redis_keys keys;
    struct redis_event_keys more;
    struct span packed; /* in `bytes` */
    char bytes[(3 + REDIS_EVENT_NUMBERS_MAX + 1) * REDIS_PACKED_BYTES];
};
MUST_CHECK enum err redis_event_script_init(struct redis_event_script *script,
                                            const struct redis_common *common,
                                            const struct store_request *request,
                                            const uint64_t *numbers, size_t n);

/* What events the answer of a script says have left unread. */
void redis_event_count_left(uint64_t overflowed, uint64_t expired);

#endif
