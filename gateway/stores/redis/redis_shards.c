/* A letter says that the map may be another, or a redirect corrects it. Then the shards that it
 * names and that are not there yet are opened, each user whose slot is elsewhere moves, and a shard
 * that no slot is at any more gets a time. A timer closes those that have been unused for long, at
 * the end of a turn, where their links may be freed. */
#include "gateway/stores/redis/redis_shards.h"

#include "gateway/base/log.h"
#include "gateway/stores/redis/redis_probe.h"

#include <stdlib.h>

enum { NOWHERE = 0 }; /* the index of the shard of the slots that nobody has */

static bool is_at(const struct redis_shard *shard, const struct redis_address *address)
{
    return shard != NULL && shard->primary != NULL &&
           redis_address_equal(&shard->primary->address, address);
}

/* ---- one shard ---- */

struct probed_shard {
    struct redis_shard shard; /* first */
    struct redis_probe probe; /* unless the shard is that of no primary */
};

static struct redis_probe *probe_of(struct redis_shard *shard)
{
    return &CONTAINER_OF(shard, struct probed_shard, shard)->probe;
}

static void set_used(const struct redis_shards *shards, struct redis_shard *shard, bool is_used)
{
    if (is_used == shard->is_used)
        return;
    shard->is_used = is_used;
    shard->unused_ms = reactor_now_ms(shards->reactor);
    redis_primary_use(shard->primary, is_used);
}

static void free_shard(struct redis_shards *shards, struct redis_shard *shard)
{
    redis_shard_fini(shard);
    shards->subs->shards[shard->index] = NULL;
    set_used(shards, shard, false);
    if (shard->primary != NULL)
        redis_primary_close(shard->primary);
    free(CONTAINER_OF(shard, struct probed_shard, shard));
}

/* NULL: no memory, or no room. */
static struct redis_shard *add_shard(struct redis_shards *shards, struct redis_primary *primary)
{
    unsigned index = 0;
    while (index < REDIS_SHARDS_MAX && shards->subs->shards[index] != NULL)
        index++;
    struct probed_shard *probed = index < REDIS_SHARDS_MAX ? calloc(1, sizeof *probed) : NULL;
    if (probed == NULL)
        return NULL;
    struct redis_shard *shard = &probed->shard;
    shard->index = (uint16_t)index;
    shard->primary = primary;
    shards->prepare(shards->owner, shard);
    redis_subs_attach(shards->subs, shard);
    if (redis_shard_init(shard, shards->common, shards->reactor, shards->is_first) == ERR_OK) {
        if (primary != NULL)
            redis_probe_init(&probed->probe, shard);
        return shard;
    }
    shards->subs->shards[index] = NULL;
    free(probed);
    return NULL;
}

/* address: NULL: that of the URL. */
static struct redis_shard *open_shard(struct redis_shards *shards,
                                      const struct redis_address *address)
{
    struct redis_clock *clock =
        address != NULL ? redis_cluster_clock_at(shards->common->cluster, address) : NULL;
    struct redis_primary *primary = redis_primary_open(shards->common, address, clock);
    struct redis_shard *shard = primary != NULL ? add_shard(shards, primary) : NULL;
    if (shard == NULL && primary != NULL)
        redis_primary_close(primary);
    return shard;
}

static void close_shard(struct redis_shards *shards, struct redis_shard *shard)
{
    if (shard->is_up) {
        shard->is_up = false;
        shard->on_down(shard);
    }
    redis_probe_fini(probe_of(shard));
    redis_commands_deny(&shard->commands, false);
    shard->sub_link.is_ready = false;
    redis_subs_detach(shards->subs, shard);
    free_shard(shards, shard);
    redis_primary_report(shards->common);
}

/* A user who cannot exist, and whose slot is at this shard: in a name two digits follow each `%`. A
 * shard with one slot is found after 16 384 tries on average. */
static void choose_nobody(const struct redis_slot_map *map, struct redis_shard *shard)
{
    enum { TRIES_MAX = 1 << 18 };
    char *nobody = shard->nobody;
    for (unsigned i = 0; i < TRIES_MAX; i++) {
        const struct redis_address *owner =
            redis_slot_map_owner(map, redis_slot_of(span_of(nobody)));
        if (owner != NULL && is_at(shard, owner))
            return;
        snprintf(nobody, REDIS_NOBODY_MAX_BYTES, "%%-%u", i);
    }
}

/* ---- the map ---- */

static struct redis_shard *find_shard(const struct redis_shards *shards,
                                      const struct redis_address *address)
{
    for (unsigned i = 0; i < shards->subs->n_shards; i++)
        if (is_at(shards->subs->shards[i], address))
            return shards->subs->shards[i];
    return NULL;
}

static void open_owner(struct redis_shards *shards, unsigned at,
                       const struct redis_address *address, bool is_used[REDIS_SHARDS_MAX])
{
    struct redis_shard *shard = find_shard(shards, address);
    if (shard == NULL) {
        shard = open_shard(shards, address);
        if (shard != NULL)
            shard->commands.is_coming = shards->had_map;
    }
    shards->of_owner[at] = shard != NULL ? shard->index : NOWHERE;
    if (shard == NULL) {
        log_fields(LOG_ERROR, "no memory for a connection to Redis", NULL, 0);
        return;
    }
    is_used[shard->index] = true;
    set_used(shards, shard, true);
    choose_nobody(shards->map, shard);
}

/* Addresses that no slot has any more stay in a map that was corrected. What is used is said before
 * what is not: else the store might have nothing for a moment. */
static void open_owners(struct redis_shards *shards)
{
    bool is_owner[REDIS_PRIMARIES_MAX] = {false};
    bool is_used[REDIS_SHARDS_MAX] = {false};
    const struct redis_address *address;
    for (unsigned slot = 0; slot < REDIS_SLOTS; slot++) {
        int owner = redis_slot_map_owner_at(shards->map, (uint16_t)slot);
        if (owner >= 0)
            is_owner[owner] = true;
    }
    for (unsigned at = 0; (address = redis_slot_map_address(shards->map, at)) != NULL; at++)
        if (is_owner[at])
            open_owner(shards, at, address, is_used);
    for (unsigned i = NOWHERE + 1; i < shards->subs->n_shards; i++)
        if (shards->subs->shards[i] != NULL && !is_used[i])
            set_used(shards, shards->subs->shards[i], false);
    redis_primary_report(shards->common);
}

/* The present map counts from here on; users are not moved yet. */
static void take_map(struct redis_shards *shards)
{
    struct redis_slot_map *map = redis_cluster_map(shards->common->cluster, &shards->round);
    if (map == shards->map) {
        redis_slot_map_unref(map);
        return;
    }
    shards->had_map = shards->map != NULL;
    redis_slot_map_unref(shards->map);
    shards->map = map;
    shards->must_follow = true;
    open_owners(shards);
}

static void follow_map(struct redis_shards *shards)
{
    if (shards->must_follow) {
        shards->must_follow = false;
        redis_subs_follow(shards->subs);
        shards->on_moved(shards->owner);
    }
    redis_subs_know_map(shards->subs, shards->round);
    for (unsigned i = NOWHERE + 1; i < shards->subs->n_shards; i++)
        if (shards->subs->shards[i] != NULL)
            redis_sub_link_know_map(&shards->subs->shards[i]->sub_link, shards->round);
}

static void on_map(void *owner)
{
    struct redis_shards *shards = owner;
    take_map(shards);
    follow_map(shards);
}

static void run_follow_task(struct reactor_task *task)
{
    follow_map(CONTAINER_OF(task, struct redis_shards, follow_task));
}

/* Many slots may move at once, and for each a user says so: the walk over all users of the lane is
 * made once, at the end of the turn. */
struct redis_commands *redis_shards_redirect(struct redis_shards *shards,
                                             const struct redis_commands *asked, const char *error)
{
    uint16_t slot;
    struct redis_address to;
    const struct redis_address *from = &asked->primary->address;
    if (!redis_cluster_redirected(shards->common->cluster, error, from))
        return NULL;
    take_map(shards);
    if (shards->must_follow)
        reactor_at_turn_end(shards->reactor, &shards->follow_task);
    if (strncmp(error, "ASK ", 4) != 0 || !redis_redirect_read(error, from, &slot, &to))
        return NULL;
    struct redis_shard *shard = find_shard(shards, &to);
    if (shard == NULL)
        shard = open_shard(shards, &to);
    if (shard == NULL)
        return NULL;
    shard->unused_ms = reactor_now_ms(shards->reactor); /* it stays for what is on its way there */
    return &shard->commands;
}

/* ---- what is not used any more ---- */

static void run_close_task(struct reactor_task *task)
{
    struct redis_shards *shards = CONTAINER_OF(task, struct redis_shards, close_task);
    int64_t now_ms = reactor_now_ms(shards->reactor);
    for (unsigned i = NOWHERE + 1; i < shards->subs->n_shards; i++) {
        struct redis_shard *shard = shards->subs->shards[i];
        if (shard != NULL && !shard->is_used && now_ms - shard->unused_ms >= REDIS_UNUSED_MS)
            close_shard(shards, shard);
    }
}

static void on_look_due(struct timer *timer)
{
    struct redis_shards *shards = CONTAINER_OF(timer, struct redis_shards, timer);
    timer_set(reactor_timers(shards->reactor), timer,
              reactor_now_ms(shards->reactor) + REDIS_LOOK_UNUSED_MS);
    reactor_free_at_turn_end(shards->reactor, &shards->close_task);
}

/* ---- which one ---- */

struct redis_shard *redis_shards_of_slot(const struct redis_shards *shards, uint16_t slot)
{
    int owner = shards->map != NULL ? redis_slot_map_owner_at(shards->map, slot) : -1;
    return shards->subs->shards[owner < 0 ? NOWHERE : shards->of_owner[owner]];
}

struct redis_shard *redis_shards_of_user(const struct redis_shards *shards, struct span user_id,
                                         uint16_t *ret_slot)
{
    *ret_slot = shards->map != NULL ? redis_slot_of_user(user_id) : 0;
    return redis_shards_of_slot(shards, *ret_slot);
}

struct redis_shard *redis_shards_of_key(const struct redis_shards *shards, struct span key)
{
    return redis_shards_of_slot(shards, shards->map != NULL ? redis_slot_of(key) : 0);
}

/* ---- made and freed ---- */

enum err redis_shards_init(struct redis_shards *shards)
{
    struct redis_cluster *cluster = shards->common->cluster;
    timer_init(&shards->timer, on_look_due);
    list_init(&shards->close_task.link);
    shards->close_task.run = run_close_task;
    list_init(&shards->follow_task.link);
    shards->follow_task.run = run_follow_task;
    if (cluster == NULL) {
        struct redis_shard *all = open_shard(shards, NULL);
        if (all != NULL)
            set_used(shards, all, true);
        return all != NULL ? ERR_OK : ERR_NO_MEMORY;
    }
    if (add_shard(shards, NULL) == NULL)
        return ERR_NO_MEMORY;
    shards->reader.reactor = shards->reactor;
    shards->reader.owner = shards;
    shards->reader.on_map = on_map;
    redis_cluster_read(cluster, &shards->reader);
    timer_set(reactor_timers(shards->reactor), &shards->timer,
              reactor_now_ms(shards->reactor) + REDIS_LOOK_UNUSED_MS);
    return ERR_OK;
}

void redis_shards_stop(struct redis_shards *shards)
{
    for (unsigned i = 0; i < shards->subs->n_shards; i++) {
        struct redis_shard *shard = shards->subs->shards[i];
        if (shard == NULL)
            continue;
        shard->commands.is_ready = false;
        if (shard->primary != NULL)
            redis_probe_fini(probe_of(shard));
    }
}

void redis_shards_fini(struct redis_shards *shards)
{
    timer_cancel(reactor_timers(shards->reactor), &shards->timer);
    reactor_task_cancel(&shards->close_task);
    reactor_task_cancel(&shards->follow_task);
    for (unsigned i = 0; i < shards->subs->n_shards; i++)
        if (shards->subs->shards[i] != NULL)
            free_shard(shards, shards->subs->shards[i]);
    redis_slot_map_unref(shards->map);
    shards->map = NULL;
}
