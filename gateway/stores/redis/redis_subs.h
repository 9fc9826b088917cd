/* The users whom this node has online on a lane, and the links that have their subscriptions. The
 * table is what survives a broken link: every user of its shard is subscribed again, and on_missed
 * is then called for each, once the shard can read inboxes. A user whose subscription Redis refuses
 * is tried again after a pause, and concerns nobody else. On the lane's thread. */
#ifndef HERALD_STORE_REDIS_SUBS_H
#define HERALD_STORE_REDIS_SUBS_H

#include "gateway/stores/redis/redis_common.h"
#include "gateway/stores/redis/redis_shard.h"
#include "gateway/stores/redis/redis_sub_table.h"

enum {
    REDIS_SHARDS_MAX = 1024, /* of a lane */
    REDIS_WISH_MS = 3000,    /* so long a page waits for a subscription that is refused */
};

struct redis_subs {
    struct redis_common *common;
    void *owner;
    /* The page of an HTTP connection can be read now, or is refused. Never inside
     * redis_subs_arrive. */
    void (*on_arrived)(void *owner, struct store_request *page);
    void (*on_refused)(void *owner, struct store_request *page);
    struct redis_shard *(*shard_of)(void *owner, struct span user_id);
    struct redis_shard *shards[REDIS_SHARDS_MAX]; /* by their index; NULL: free */
    unsigned n_shards;                            /* above all indexes in use */
    struct list retries;                          /* struct redis_retry */
    struct redis_sub_table table;
};

/* Callbacks and owner are set by the caller before. */
MUST_CHECK enum err redis_subs_init(struct redis_subs *subs, struct redis_common *common);
/* Refuses pages that wait. Before redis_shard_fini; no call and no callback comes in between. */
void redis_subs_fini(struct redis_subs *subs);

/* Before redis_shard_init: users may be subscribed there. Sets the callbacks of its sub_link. */
void redis_subs_attach(struct redis_subs *subs, struct redis_shard *shard);

/* Users are there no more, and no answer of its link comes; it is about to be freed. */
void redis_subs_detach(struct redis_subs *subs, struct redis_shard *shard);

/* Slots are at other shards now: their users are subscribed there, and get on_missed. */
void redis_subs_follow(struct redis_subs *subs);

/* The map of this round is known (redis_cluster.h). Whose slot it leaves where it was, and whose
 * subscription had ended or was refused because it is elsewhere, is subscribed there again. */
void redis_subs_know_map(struct redis_subs *subs, uint64_t round);

/* Subscribes on the user's shard, unless that was done, and then hands the page on.
 * ERR_STORE_UNAVAILABLE: the link is away, or the subscription has been refused for REDIS_WISH_MS;
 * the user is remembered all the same and gets on_missed when he is subscribed. ERR_NO_MEMORY. In
 * both cases the page stays the caller's. */
MUST_CHECK enum err redis_subs_arrive(struct redis_subs *subs, struct span user_id,
                                      struct store_request *page);
void redis_subs_leave(struct redis_subs *subs, struct span user_id);

/* The inboxes of a shard can be read from now on, or no longer. Up calls on_missed for each of its
 * users that missed something. */
void redis_subs_shard_up(struct redis_subs *subs, struct redis_shard *shard);
void redis_subs_shard_down(struct redis_subs *subs, struct redis_shard *shard);

/* Is he subscribed, and has on_missed been called if it was due? */
bool redis_subs_is_settled(const struct redis_subs *subs, const struct redis_sub *sub);

/* Is he wished for, and Redis does not send this node what is published on his channel? false also
 * where that is not known, because the answer to a wish is awaited. */
bool redis_subs_is_deaf_to(struct redis_subs *subs, struct span user_id);

/* He may have missed something: on_missed, as above. He may leave inside, so he must be held. */
void redis_subs_report(struct redis_subs *subs, struct redis_sub *sub);

/* Whoever is held stays, also when he has left, until he is released. */
static inline void redis_subs_hold(struct redis_sub *sub)
{
    sub->n_held++;
}
void redis_subs_release(struct redis_subs *subs, struct redis_sub *sub);

/* All users of a shard may have missed something: on_missed for each, now or when it is up. */
void redis_subs_report_all(struct redis_subs *subs, struct redis_shard *shard);

#endif
