/* The hash of a userId chooses the home worker, one of that worker's shards, and the bucket. An
 * offer from any thread takes the shard's lock, finds the client, queues in its channel, and posts
 * the client's letter unless it is posted already. The mailbox is rung after the lock is released,
 * so that the woken worker does not block on it. Only the home worker adds and removes clients, so
 * it reads its own chains without the lock. Pages of all clients follow the reversed bits of the
 * hash, an order that a growing shard does not disturb. */
#include "gateway/node/client_map.h"

#include "gateway/base/hash.h"
#include "gateway/store/store_request.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

enum { SHARDS_PER_WORKER = 16, FIRST_BUCKETS = 16 };

/* Chained buckets; the chain's link is in the client. */
struct shard {
    pthread_mutex_t lock;
    struct client **buckets;
    struct mailbox *mailbox; /* of the home worker; set by the first client */
    uint32_t n_buckets;      /* a power of two */
    uint32_t n_clients;
};

struct client_map {
    unsigned n_workers;
    unsigned n_shards;
    uint32_t channel_max_bytes;
    void (*on_letter)(struct letter *letter);
    struct client_more *empties; /* for the clients of each worker; the home worker's */
    struct shard shards[];
};

/* The parts of a hash: the worker, the shard of that worker, the bucket. */
static unsigned home_of(const struct client_map *map, uint32_t hash)
{
    return hash % map->n_workers;
}

static struct shard *shard_of(struct client_map *map, uint32_t hash)
{
    unsigned within = hash / map->n_workers % SHARDS_PER_WORKER;
    return &map->shards[home_of(map, hash) * SHARDS_PER_WORKER + within];
}

static uint32_t bucket_of(const struct client_map *map, const struct shard *shard, uint32_t hash)
{
    return hash / map->n_workers / SHARDS_PER_WORKER & (shard->n_buckets - 1);
}

static uint32_t hash_user(struct span user_id)
{
    return (uint32_t)hash_bytes(user_id);
}

enum err client_map_new(unsigned n_workers, uint32_t channel_max_bytes,
                        void (*on_letter)(struct letter *letter), struct client_map **ret_map)
{
    unsigned n_shards = n_workers * SHARDS_PER_WORKER;
    struct client_map *map = calloc(1, sizeof *map + n_shards * sizeof map->shards[0]);
    if (map == NULL)
        return ERR_NO_MEMORY;
    map->n_workers = n_workers;
    map->n_shards = n_shards;
    map->channel_max_bytes = channel_max_bytes;
    map->on_letter = on_letter;
    map->empties = calloc(n_workers, sizeof map->empties[0]);
    if (map->empties == NULL) {
        free(map);
        return ERR_NO_MEMORY;
    }
    for (unsigned i = 0; i < n_shards; i++) {
        struct shard *shard = &map->shards[i];
        pthread_mutex_init(&shard->lock, NULL);
        shard->n_buckets = FIRST_BUCKETS;
        shard->buckets = calloc(FIRST_BUCKETS, sizeof(struct client *));
        if (shard->buckets == NULL) {
            client_map_free(map);
            return ERR_NO_MEMORY;
        }
    }
    *ret_map = map;
    return ERR_OK;
}

void client_map_free(struct client_map *map)
{
    if (map == NULL)
        return;
    for (unsigned i = 0; i < map->n_shards; i++) {
        assert(map->shards[i].n_clients == 0);
        free(map->shards[i].buckets);
        pthread_mutex_destroy(&map->shards[i].lock);
    }
    free(map->empties);
    free(map);
}

unsigned client_map_home(const struct client_map *map, struct span user_id)
{
    return map->n_workers == 1 ? 0 : home_of(map, hash_user(user_id));
}

/* The link of the chain that points to the user's client; without one, the last, which is NULL. */
static struct client **link_of(struct client_map *map, struct shard *shard, uint32_t hash,
                               struct span user_id)
{
    struct client **link = &shard->buckets[bucket_of(map, shard, hash)];
    while (*link != NULL && ((*link)->hash != hash || !span_equal(client_user_id(*link), user_id)))
        link = &(*link)->chain;
    return link;
}

/* Lock held. Posts a letter to the home worker unless one is on its way. Returns the mailbox that
 * must be rung after the lock is released; NULL: none. */
static struct mailbox *post_letter(struct shard *shard, struct client *client)
{
    if (client->is_posted)
        return NULL;
    client->is_posted = true;
    return mailbox_put(shard->mailbox, &client->letter) ? shard->mailbox : NULL;
}

static void unlock_and_ring(struct shard *shard, struct mailbox *mailbox)
{
    pthread_mutex_unlock(&shard->lock);
    if (mailbox != NULL)
        mailbox_ring(mailbox);
}

/* Lock held. */
static void note_missed(struct client *client, enum missed missed)
{
    if (missed > client->missed)
        client->missed = (uint8_t)missed;
}

/* Lock held. */
static enum err offer_event(struct client_map *map, struct client *client, struct inbox_event event)
{
    if (client->channel == NULL)
        client->channel = channel_new();
    if (client->channel == NULL) {
        bool has_withdrawn = event.kind == INBOX_WITHDRAWAL || event.note->replaces != 0;
        if (inbox_event_seq(event) != 0)
            note_missed(client, has_withdrawn ? MISSED_WITHDRAWALS : MISSED_NOTIFICATIONS);
        return ERR_NO_MEMORY;
    }
    return channel_offer(client->channel, event, map->channel_max_bytes);
}

/* Lock held. Has all that was offered before been taken? */
static bool is_idle(const struct client *client)
{
    return client->channel == NULL && !client->is_posted && client->missed == MISSED_NOTHING;
}

/* Lock held; home worker. */
static void raise_head(struct client *client, uint64_t seq, uint32_t time)
{
    if (seq == 0 || seq < client->head || client->is_unsure)
        return;
    if (seq > client->head || client->head_time == 0)
        client->head_time = time;
    client->head = seq;
}

/* As above. A number that comes at another time is another one: the known one is lost. */
static void hear_event(struct client *client, struct inbox_event event)
{
    uint64_t seq = inbox_event_seq(event);
    uint32_t time = event.kind == INBOX_NOTIFICATION ? store_time(event.note->time_ms) : 0;
    if (time != 0 && client->head_time != 0 && seq == client->head && time != client->head_time) {
        client->is_unsure = true;
        note_missed(client, MISSED_NOTIFICATIONS);
    }
    raise_head(client, seq, time);
}

static const unsigned nowhere = UINT32_MAX; /* the index of no worker */

unsigned client_map_offer_here(struct client_map *map, struct span user_id,
                               struct inbox_event event, unsigned here, struct client **ret_client)
{
    uint32_t hash = hash_user(user_id);
    struct shard *shard = shard_of(map, hash);
    struct mailbox *mailbox = NULL;
    unsigned online = 0;
    *ret_client = NULL;
    pthread_mutex_lock(&shard->lock);
    struct client *client = *link_of(map, shard, hash, user_id);
    if (client != NULL && home_of(map, hash) == here && is_idle(client)) {
        hear_event(client, event);
        online = client->n_sessions;
        if (client->missed != MISSED_NOTHING)
            mailbox = post_letter(shard, client);
        *ret_client = client;
    } else if (client != NULL) {
        enum err error = offer_event(map, client, event);
        /* Where it is full the sessions read the inbox, but what has no number is dropped. */
        if (error == ERR_OK || inbox_event_seq(event) != 0)
            online = client->n_sessions;
        mailbox = post_letter(shard, client);
    }
    unlock_and_ring(shard, mailbox);
    return online;
}

unsigned client_map_offer(struct client_map *map, struct span user_id, struct inbox_event event)
{
    struct client *client;
    return client_map_offer_here(map, user_id, event, nowhere, &client);
}

unsigned client_map_count(struct client_map *map, struct span user_id)
{
    uint32_t hash = hash_user(user_id);
    struct shard *shard = shard_of(map, hash);
    pthread_mutex_lock(&shard->lock);
    const struct client *client = *link_of(map, shard, hash, user_id);
    unsigned online = client != NULL ? client->n_sessions : 0;
    pthread_mutex_unlock(&shard->lock);
    return online;
}

void client_map_missed(struct client_map *map, struct span user_id, enum missed missed)
{
    uint32_t hash = hash_user(user_id);
    struct shard *shard = shard_of(map, hash);
    struct mailbox *mailbox = NULL;
    pthread_mutex_lock(&shard->lock);
    struct client *client = *link_of(map, shard, hash, user_id);
    if (client != NULL) {
        client->is_unsure = true;
        note_missed(client, missed);
        mailbox = post_letter(shard, client);
    }
    unlock_and_ring(shard, mailbox);
}

struct client_known client_map_known(struct client_map *map, struct span user_id)
{
    uint32_t hash = hash_user(user_id);
    struct shard *shard = shard_of(map, hash);
    struct client_known known = {.home = home_of(map, hash)};
    pthread_mutex_lock(&shard->lock);
    const struct client *client = *link_of(map, shard, hash, user_id);
    if (client != NULL && !epoch_is_none(client->epoch)) {
        known.epoch = client->epoch;
        known.head = client->head;
        known.head_time = client->head_time;
        if (!atomic_load_explicit(&client->has_devices, memory_order_relaxed))
            known.acked = position_acked(&client->shared);
    }
    pthread_mutex_unlock(&shard->lock);
    return known;
}

void client_map_learn(struct client_map *map, struct client *client, struct epoch epoch,
                      uint64_t head, uint32_t time)
{
    struct shard *shard = shard_of(map, client->hash);
    pthread_mutex_lock(&shard->lock);
    client->epoch = epoch;
    raise_head(client, head, time);
    pthread_mutex_unlock(&shard->lock);
}

/* The lock is held. Out of memory: the chains stay longer. */
static void grow_shard(struct client_map *map, struct shard *shard)
{
    struct client **old = shard->buckets;
    uint32_t n_old = shard->n_buckets;
    struct client **buckets = calloc((size_t)n_old * 2, sizeof(struct client *));
    if (buckets == NULL)
        return;
    shard->buckets = buckets;
    shard->n_buckets = n_old * 2;
    for (uint32_t i = 0; i < n_old; i++) {
        while (old[i] != NULL) {
            struct client *client = old[i];
            old[i] = client->chain;
            uint32_t bucket = bucket_of(map, shard, client->hash);
            client->chain = buckets[bucket];
            buckets[bucket] = client;
        }
    }
    free(old);
}

/* What the clients of a worker have together (client.h). */
static struct client_more *empty_of(struct client_map *map, uint32_t hash, struct worker *home)
{
    struct client_more *empty = &map->empties[home_of(map, hash)];
    empty->worker = home;
    empty->empty = empty;
    return empty;
}

struct client *client_map_enter(struct client_map *map, struct span user_id, struct worker *home,
                                struct mailbox *mailbox)
{
    uint32_t hash = hash_user(user_id);
    struct shard *shard = shard_of(map, hash);
    /* no lock: only the home worker changes the chains */
    struct client *client = *link_of(map, shard, hash, user_id);
    struct client *made = NULL;
    if (client == NULL) {
        made = client_new(user_id, hash, empty_of(map, hash, home));
        if (made == NULL)
            return NULL;
        made->letter.deliver = map->on_letter;
        client = made;
    }
    pthread_mutex_lock(&shard->lock);
    if (made != NULL) {
        if (shard->n_clients >= shard->n_buckets)
            grow_shard(map, shard);
        shard->mailbox = mailbox;
        *link_of(map, shard, hash, user_id) = made;
        shard->n_clients++;
    }
    client->n_sessions++;
    pthread_mutex_unlock(&shard->lock);
    return client;
}

bool client_map_leave(struct client_map *map, struct client *client)
{
    struct shard *shard = shard_of(map, client->hash);
    pthread_mutex_lock(&shard->lock);
    client->n_sessions--;
    bool is_last = client->n_sessions == 0;
    if (is_last) {
        struct client **link = link_of(map, shard, client->hash, client_user_id(client));
        assert(*link == client);
        *link = client->chain;
        shard->n_clients--;
    }
    pthread_mutex_unlock(&shard->lock);
    return is_last;
}

struct client *client_map_find(struct client_map *map, struct span user_id)
{
    uint32_t hash = hash_user(user_id);
    struct shard *shard = shard_of(map, hash);
    return *link_of(map, shard, hash, user_id);
}

struct channel *client_map_take(struct client_map *map, struct client *client,
                                enum missed *ret_missed)
{
    struct shard *shard = shard_of(map, client->hash);
    pthread_mutex_lock(&shard->lock);
    struct channel *taken = client->channel;
    client->channel = NULL;
    for (uint32_t i = 0; taken != NULL && i < taken->n; i++)
        hear_event(client, channel_at(taken, i));
    if (taken != NULL && taken->has_overflowed)
        note_missed(client, taken->has_lost_withdrawn ? MISSED_WITHDRAWALS : MISSED_NOTIFICATIONS);
    *ret_missed = (enum missed)client->missed;
    client->missed = MISSED_NOTHING;
    client->is_posted = false;
    pthread_mutex_unlock(&shard->lock);
    return taken;
}

void client_map_each(struct client_map *map, unsigned worker,
                     void (*visit)(struct client *client, void *argument), void *argument)
{
    for (unsigned i = 0; i < SHARDS_PER_WORKER; i++) {
        struct shard *shard = &map->shards[worker * SHARDS_PER_WORKER + i];
        for (uint32_t bucket = 0; bucket < shard->n_buckets; bucket++) {
            struct client *client = shard->buckets[bucket];
            while (client != NULL) {
                struct client *next = client->chain;
                visit(client, argument);
                client = next;
            }
        }
    }
}

/* A page lists a shard's users in the order of their list keys: the part of the hash that chooses
 * the bucket, reversed (hash_reverse_bits). So a user who stays is neither missed nor listed twice.
 * The cursor is the shard and the first list key that is not listed yet. */
static uint64_t list_key_of(const struct client_map *map, const struct client *client)
{
    return hash_reverse_bits(client->hash / map->n_workers / SHARDS_PER_WORKER);
}

/* The lowest list key in a bucket from `from` on; UINT64_MAX: none. */
static uint64_t next_list_key(const struct client_map *map, const struct client *chain,
                              uint64_t from)
{
    uint64_t lowest = UINT64_MAX;
    for (; chain != NULL; chain = chain->chain) {
        uint64_t key = list_key_of(map, chain);
        if (key >= from && key < lowest)
            lowest = key;
    }
    return lowest;
}

/* One bucket from `from` on. Returns the first key for which there was no room, or UINT64_MAX. */
static uint64_t list_bucket(const struct client_map *map, const struct client *chain, uint64_t from,
                            struct client_map_row *rows, size_t cap, size_t *n)
{
    uint64_t key;
    while ((key = next_list_key(map, chain, from)) != UINT64_MAX) {
        if (*n >= cap)
            return key;
        for (const struct client *client = chain; client && *n < cap; client = client->chain) {
            if (list_key_of(map, client) != key)
                continue;
            rows[*n].n_sessions = client->n_sessions;
            rows[*n].user_id_len = client->user_id_len;
            memcpy(rows[*n].user_id, client->user_id, client->user_id_len);
            ++*n;
        }
        from = key + 1;
    }
    return UINT64_MAX;
}

/* The lock is held. Like list_bucket, for a whole shard. */
static uint64_t list_shard(const struct client_map *map, const struct shard *shard, uint64_t from,
                           struct client_map_row *rows, size_t cap, size_t *n)
{
    uint64_t step = (UINT64_C(1) << 32) / shard->n_buckets;
    for (uint64_t at = from - from % step; at < UINT64_C(1) << 32; at += step) {
        const struct client *chain = shard->buckets[hash_reverse_bits((uint32_t)at)];
        uint64_t left = list_bucket(map, chain, from, rows, cap, n);
        if (left != UINT64_MAX)
            return left;
    }
    return UINT64_MAX;
}

size_t client_map_list(struct client_map *map, uint64_t *cursor, struct client_map_row *rows,
                       size_t cap)
{
    size_t n = 0;
    uint64_t from = (uint32_t)*cursor;
    for (uint64_t i = *cursor >> 32; i < map->n_shards; i++) {
        struct shard *shard = &map->shards[i];
        pthread_mutex_lock(&shard->lock);
        uint64_t left = list_shard(map, shard, from, rows, cap, &n);
        pthread_mutex_unlock(&shard->lock);
        if (left != UINT64_MAX) {
            *cursor = i << 32 | left;
            return n;
        }
        from = 0;
    }
    *cursor = UINT64_MAX;
    return n;
}

/* Only the home worker changes the chains, so no lock is held while visiting. */
void client_map_visit(struct client_map *map, unsigned worker, uint64_t *cursor, unsigned n,
                      void (*visit)(struct client *client, void *argument), void *argument)
{
    uint64_t i = *cursor >> 32;
    uint64_t at = (uint32_t)*cursor;
    unsigned visited = 0;
    for (; i < SHARDS_PER_WORKER; i++, at = 0) {
        struct shard *shard = &map->shards[worker * SHARDS_PER_WORKER + i];
        uint64_t step = (UINT64_C(1) << 32) / shard->n_buckets;
        for (; at < UINT64_C(1) << 32; at += step) {
            if (visited >= n) {
                *cursor = i << 32 | at;
                return;
            }
            struct client *client = shard->buckets[hash_reverse_bits((uint32_t)at)];
            visited++; /* an empty bucket costs time as well */
            while (client != NULL) {
                struct client *next = client->chain;
                visit(client, argument);
                client = next;
                visited++;
            }
        }
    }
    *cursor = UINT64_MAX;
}

size_t client_map_users(struct client_map *map)
{
    size_t n = 0;
    for (unsigned i = 0; i < map->n_shards; i++) {
        pthread_mutex_lock(&map->shards[i].lock);
        n += map->shards[i].n_clients;
        pthread_mutex_unlock(&map->shards[i].lock);
    }
    return n;
}
