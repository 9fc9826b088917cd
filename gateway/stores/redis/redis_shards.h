/* The shards of a lane. Without a Cluster there is one, of all users. In a Cluster there is one for
 * each primary that the map names, opened when it names it first and closed when no slot has been
 * there for REDIS_UNUSED_MS; and before them one that is never up, for the slots that nobody has.
 * On the lane's thread. */
#ifndef HERALD_STORE_REDIS_SHARDS_H
#define HERALD_STORE_REDIS_SHARDS_H

#include "gateway/stores/redis/redis_cluster.h"
#include "gateway/stores/redis/redis_shard.h"
#include "gateway/stores/redis/redis_subs.h"

enum { REDIS_UNUSED_MS = 60000, REDIS_LOOK_UNUSED_MS = 5000 };

struct redis_shards {
    struct redis_common *common;
    struct reactor *reactor;
    struct redis_subs *subs; /* has the shards, by their index */
    bool is_first;           /* of the first lane */
    void *owner;
    void (*prepare)(void *owner, struct redis_shard *shard); /* sets its owner and its callbacks */
    void (*on_moved)(void *owner);                           /* slots are elsewhere now */

    struct redis_map_reader reader;
    struct redis_slot_map *map;             /* NULL: none yet, or no Cluster */
    uint16_t of_owner[REDIS_PRIMARIES_MAX]; /* the index of a shard, by that of an address */
    struct timer timer;                     /* looks for what is not used any more */
    struct reactor_task close_task;
    uint64_t round;   /* of the map */
    bool had_map;     /* there was one before it */
    bool must_follow; /* users are not yet where it says */
    struct reactor_task follow_task;
};

/* Opens what is there from the start. What is said above is set by the caller before, and the subs
 * are initialised. */
MUST_CHECK enum err redis_shards_init(struct redis_shards *shards);
/* Before redis_subs_fini: nothing is sent any more. */
void redis_shards_stop(struct redis_shards *shards);
/* After redis_subs_fini. Answers what is under way. */
void redis_shards_fini(struct redis_shards *shards);

/* Never NULL. */
struct redis_shard *redis_shards_of_slot(const struct redis_shards *shards, uint16_t slot);
struct redis_shard *redis_shards_of_user(const struct redis_shards *shards, struct span user_id,
                                         uint16_t *ret_slot);
/* `asked` answered MOVED or ASK: `error`. The map knows it from then on. Where an ASK sends the
 * request; NULL: it is no ASK, or leads nowhere. */
struct redis_commands *redis_shards_redirect(struct redis_shards *shards,
                                             const struct redis_commands *asked, const char *error);

struct redis_shard *redis_shards_of_key(const struct redis_shards *shards, struct span key);

#endif
