/* A Redis that takes writes, as all lanes of a store see it: how many of them can use it, and
 * whether it refuses to store. A store has one, or one for each primary of a Cluster, and is up
 * while one of them is; at the start as soon as each of them is, or has failed. One that no slot is
 * at any more does not count. Any thread. */
#ifndef HERALD_STORE_REDIS_PRIMARY_H
#define HERALD_STORE_REDIS_PRIMARY_H

#include "gateway/stores/redis/redis_common.h"

struct redis_primary {
    struct redis_common *common;
    struct redis_address address; /* of a Cluster's; empty: the address in the URL */
    char shown[REDIS_SHOWN_MAX_BYTES];
    struct redis_clock *clock; /* stays until the store is closed */

    struct redis_primary *next; /* from here on under the lock of `common` */
    unsigned n_shards;          /* lanes that have it */
    unsigned n_used;            /* of them: for slots that are there */
    unsigned n_up;              /* of them */
    unsigned n_denied;          /* of them: they send no script until a trial passes */
    bool has_failed;            /* since it was opened: it was away, or refused something */
    bool is_refusing;           /* it answers, and does not take writes, or not all of them */
    struct redis_refusals refusals;
};

/* A lane has it from now on. address: NULL: the one in the URL. clock: the primary's own, for the
 * first lane that opens it; NULL: that of all. NULL: no memory. */
struct redis_primary *redis_primary_open(struct redis_common *common,
                                         const struct redis_address *address,
                                         struct redis_clock *clock);
/* The lane has it no more, and does not use it. Nothing is reported. */
void redis_primary_close(struct redis_primary *primary);

/* Slots are there as the lane knows it, or no longer. Nothing is reported. */
void redis_primary_use(struct redis_primary *primary, bool is_used);
void redis_primary_report(struct redis_common *common);

/* Where a link connects to. NULL: the address in the URL. */
static inline const struct redis_address *redis_primary_address(const struct redis_primary *primary)
{
    return primary->address.host[0] != '\0' ? &primary->address : NULL;
}

/* A lane can use it, or no longer. on_state is called from here when the store as a whole changes.
 */
void redis_primary_shard(struct redis_primary *primary, bool is_up);

/* It cannot be reached or does not let us in; `words` may be the error that it answered. Says so at
 * most once a minute, with what to do, unless no slot is there. */
void redis_primary_away(struct redis_primary *primary, const char *words);

/* It refused a command with this error. As above; and if nothing can be stored while it lasts, it
 * counts as down until redis_primary_taken. */
void redis_primary_refused(struct redis_primary *primary, const char *error);

/* It refused what concerns one user alone. As above, but it stays as it is. */
void redis_primary_refused_one(struct redis_primary *primary, const char *error);

/* It kept what it was given and refused to publish it. As redis_primary_refused. */
void redis_primary_unheard(struct redis_primary *primary, const char *error);

/* It took all that it may refuse. It was asked when there were `as_of` refusals: if there is one
 * more, that counts. */
struct redis_refusals redis_primary_refusals(struct redis_primary *primary);
void redis_primary_taken(struct redis_primary *primary, struct redis_refusals as_of);

/* A lane sends it no script any more, or does again. */
void redis_primary_denied(struct redis_primary *primary, bool is_denied);

/* A map of the slots was taken over, in which so many have no owner; or a node has failed to give
 * one. While either is so the store is not whole, and its problem stays. */
void redis_primary_map_taken(struct redis_common *common, unsigned n_ownerless);
void redis_primary_map_failed(struct redis_common *common);

/* Is there one with this address, and can all lanes that have it use it? */
bool redis_primary_is_up(struct redis_common *common, const struct redis_address *address);

#endif
