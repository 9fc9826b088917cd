/* The map of a Redis Cluster: which primary has which slot, asked anew when something says that it
 * has changed, and each minute. One per store; its link is on the first lane's reactor, every lane
 * reads it. A map never changes: another one takes its place, and each lane is told by letter.
 *
 * Any thread, except init and fini. */
#ifndef HERALD_STORE_REDIS_CLUSTER_H
#define HERALD_STORE_REDIS_CLUSTER_H

#include "gateway/stores/redis/redis_common.h"
#include "gateway/stores/redis/redis_slots.h"

enum {
    REDIS_MAP_EVERY_MS = 60000,
    REDIS_MAP_BROKEN_MS = 500, /* while some of it is away */
    REDIS_MAP_PAUSE_MS = 100,  /* between two questions */
};

struct redis_cluster;

/* A lane, which is told of each answer, also when the map is the same. Embedded by its owner. */
struct redis_map_reader {
    struct letter letter;
    struct reactor *reactor;
    struct redis_map_reader *next;
    struct redis_cluster *cluster;
    bool is_posted;
    void *owner;
    void (*on_map)(void *owner); /* on its reactor */
};

/* Before the reactor runs. ERR_NO_MEMORY */
MUST_CHECK enum err redis_cluster_new(struct redis_common *common, struct reactor *reactor,
                                      struct redis_cluster **ret_cluster);
/* When the reactors run no more, after the lanes. NULL is fine. */
void redis_cluster_free(struct redis_cluster *cluster);

/* reactor, owner and on_map are set by the caller before. */
void redis_cluster_read(struct redis_cluster *cluster, struct redis_map_reader *reader);

/* A reference to the present map for the caller; NULL: there is none yet. *ret_round is the round
 * of the last answer. */
struct redis_slot_map *redis_cluster_map(struct redis_cluster *cluster, uint64_t *ret_round);

/* A new map is wanted. Returns the round of the question that will be asked after this call: what a
 * later round answers is newer as well. NULL is fine: nothing is done. */
uint64_t redis_cluster_want(struct redis_cluster *cluster);

/* Is this error of the Redis `asked` one that says that a slot is elsewhere (MOVED, ASK)? Then the
 * map is corrected, and a new one is wanted. NULL is fine: false. */
bool redis_cluster_redirected(struct redis_cluster *cluster, const char *error,
                              const struct redis_address *asked);

/* The clock of the primary that has the slot, or had it last; NULL: none had. It stays until the
 * Cluster is freed. No lock is taken. */
const struct redis_clock *redis_cluster_clock(const struct redis_cluster *cluster, uint16_t slot);
/* The clock of this primary. NULL: no memory, or no Cluster (NULL is fine). */
struct redis_clock *redis_cluster_clock_at(struct redis_cluster *cluster,
                                           const struct redis_address *address);

/* Slots that nobody serves now: without an owner, or whose owner is not up. Before the first map:
 * all. */
unsigned redis_cluster_missing(struct redis_cluster *cluster);

#endif
