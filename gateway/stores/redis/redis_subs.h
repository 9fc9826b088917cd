/* The subscription side of a lane: a link, and which users this node has online on it. The table is
 * what survives a broken link: every user in it is subscribed again, and on_missed is then called
 * for each, once the lane can read inboxes (redis_subs_lane_up). A channel that can be no user's is
 * subscribed first and left again, which shows whether that is allowed; and then plain channels: it
 * is ready when these are confirmed. On the lane's thread. */
#ifndef HERALD_STORE_REDIS_SUBS_H
#define HERALD_STORE_REDIS_SUBS_H

#include "gateway/base/hash_table.h"
#include "gateway/stores/redis/redis_common.h"
#include "gateway/stores/redis/redis_link.h"

struct redis_sub;

enum { REDIS_PLAIN_CHANNELS = 2 };

struct redis_subs {
    struct redis_common *common;
    struct redis_link *link;
    void *owner;
    void (*on_ready)(void *owner);
    void (*on_lost)(void *owner);
    /* The page of an HTTP connection can be read now, or is refused. Never inside
     * redis_subs_arrive. */
    void (*on_arrived)(void *owner, struct store_request *page);
    void (*on_refused)(void *owner, struct store_request *page);
    struct span plain[REDIS_PLAIN_CHANNELS]; /* unused: empty */
    void (*on_plain)(void *owner, struct span channel, struct span message);
    unsigned awaited; /* confirmations before it is ready */
    bool is_ready;
    bool can_report;         /* the lane is up: on_missed leads to a page that can be read */
    struct hash_table users; /* struct redis_sub, by userId */
    bool is_walking;         /* the table must neither grow nor lose a user */
    struct hash_link *late;  /* users who came meanwhile, not in the table yet */
};

/* Callbacks and owner are set by the caller before. */
MUST_CHECK enum err redis_subs_init(struct redis_subs *subs, struct redis_common *common,
                                    struct reactor *reactor);
void redis_subs_fini(struct redis_subs *subs); /* refuses pages that wait */

/* Subscribes, unless that was done, and then hands the page on. ERR_STORE_UNAVAILABLE: the link is
 * away; the user is remembered all the same and gets on_missed when it is back. ERR_NO_MEMORY. In
 * both cases the page stays the caller's. */
MUST_CHECK enum err redis_subs_arrive(struct redis_subs *subs, struct span user_id,
                                      struct store_request *page);
void redis_subs_leave(struct redis_subs *subs, struct span user_id);

/* From now on inboxes can be read, or no longer. Up calls on_missed for each user that missed
 * something.
 */
void redis_subs_lane_up(struct redis_subs *subs);
void redis_subs_lane_down(struct redis_subs *subs);

/* All users may have missed something: on_missed for all, now or when the lane is up. */
void redis_subs_report_all(struct redis_subs *subs);

/* The link is taken down, and comes up again by itself. Not ready from here on, without on_lost. */
void redis_subs_restart(struct redis_subs *subs, const char *why);

#endif
