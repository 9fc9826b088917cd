/* The subscription link of a shard (redis_shard.h). When it comes up, a channel that can be no
 * user's is subscribed and left again, which shows whether that is allowed; then the channels of
 * the fleet are subscribed. It is ready when these are answered, and takes wishes from then on. In
 * a Cluster a channel of the fleet whose slot is elsewhere, or nobody's, waits for the next map.
 *
 * Redis answers the commands here in order, each with a confirmation or an error. So an error finds
 * the user whom it concerns, and what Redis ends by itself is told from what it was asked to end.
 * On the lane's thread. */
#ifndef HERALD_STORE_REDIS_SUB_LINK_H
#define HERALD_STORE_REDIS_SUB_LINK_H

#include "gateway/stores/redis/redis_link.h"
#include "gateway/stores/redis/redis_primary.h"
#include "gateway/stores/redis/redis_run_id.h"
#include "gateway/stores/redis/redis_sub.h"

enum { REDIS_PLAIN_CHANNELS = 3 };

struct redis_sub_link {
    struct redis_common *common;
    struct redis_primary *primary; /* NULL: of nobody; it is never ready then */
    const char *nobody;            /* stays: a user who cannot exist, encoded; of a slot there */
    struct reactor *reactor;
    struct redis_resolver *resolver; /* of the link's address; NULL: that of the primary */
    struct redis_link *link;
    int64_t heard_ms; /* the last message, or when it became ready */
    void *owner;
    void (*on_ready)(void *owner);
    void (*on_lost)(void *owner); /* it was ready; no wish is answered any more */
    void (*on_answer)(void *owner, struct redis_sub *sub, const char *error); /* NULL: confirmed */
    void (*on_ended)(void *owner, struct span user_id); /* Redis unsubscribed him by itself */
    void (*on_message)(void *owner, struct span user_id, struct span message);
    struct span plain[REDIS_PLAIN_CHANNELS];    /* channels of the fleet; unused: empty */
    uint64_t plain_round[REDIS_PLAIN_CHANNELS]; /* of the map that it waits for; 0: none */
    /* A message of a user's channel that reports no event of the inbox. */
    void (*on_other)(void *owner, struct span user_id, struct span message);
    void (*on_plain)(void *owner, struct span channel, struct span message);
    void (*on_doubt)(void *owner); /* a message says a time that TIME has to confirm */
    struct redis_run_id run_id;    /* of the Redis there */
    int64_t ready_ms;              /* is_ready: since when */
    unsigned awaited;              /* answers before it is ready */
    bool is_ready;
};

/* Callbacks, owner, primary, nobody, resolver and plain are set by the caller before. */
MUST_CHECK enum err redis_sub_link_init(struct redis_sub_link *subs, struct redis_common *common,
                                        struct reactor *reactor);
/* on_answer and on_lost are not called; the users may be gone already. */
void redis_sub_link_fini(struct redis_sub_link *subs);

/* While it is ready: subscribes the user's channel (sub->is_wanted), or leaves it. One answer is
 * due, and counted in sub->awaited until on_answer or on_lost; `sub` stays until then. What cannot
 * be sent breaks the link. */
void redis_sub_link_send_wish(struct redis_sub_link *subs, struct redis_sub *sub);

/* Reports what a message on the user's channel says, if he is wanted. He may leave inside. */
void redis_sub_link_report(struct redis_sub_link *subs, const struct redis_sub *sub,
                           struct span user_id, struct span message);

/* The link is taken down, and comes up again by itself; on_lost is called first, if it was ready.
 */
void redis_sub_link_restart(struct redis_sub_link *subs, const char *why);

/* A channel of the fleet belongs here from now on, or (empty) no longer. */
void redis_sub_link_set_plain(struct redis_sub_link *subs, size_t at, struct span channel);

/* The map of this round is known, and set_plain was called by it: what waits is subscribed. */
void redis_sub_link_know_map(struct redis_sub_link *subs, uint64_t round);

#endif
