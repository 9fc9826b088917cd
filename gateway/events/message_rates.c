/* A bucket is in its shard's table, and in a list in which the one that was used longest ago comes
 * first. It is full again MESSAGE_RATES_BURST_S after its last use at the latest, so those at the
 * front of the list are the ones to be forgotten. */
#include "gateway/events/message_rates.h"

#include "gateway/base/hash.h"
#include "gateway/base/hash_table.h"
#include "gateway/base/list.h"
#include "gateway/base/rate.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { SHARD_USERS_MAX = MESSAGE_RATES_USERS_MAX / MESSAGE_RATES_SHARDS };

struct bucket {
    struct hash_link link;
    struct list used;
    uint64_t hash;
    struct rate rate;
    uint8_t user_id_len;
    char user_id[];
};

struct shard {
    pthread_mutex_t lock; /* no other lock is taken under it */
    struct hash_table table;
    struct list used; /* the one used longest ago first */
};

struct message_rates {
    struct shard shards[MESSAGE_RATES_SHARDS];
};

static uint64_t hash_of(const struct hash_link *link)
{
    return CONTAINER_OF(link, const struct bucket, link)->hash;
}

enum err message_rates_new(struct message_rates **ret_rates)
{
    struct message_rates *rates = calloc(1, sizeof *rates);
    if (rates == NULL)
        return ERR_NO_MEMORY;
    for (unsigned i = 0; i < MESSAGE_RATES_SHARDS; i++) {
        struct shard *shard = &rates->shards[i];
        if (hash_table_init(&shard->table, hash_of) != ERR_OK) {
            while (i-- > 0)
                hash_table_fini(&rates->shards[i].table);
            free(rates);
            return ERR_NO_MEMORY;
        }
        pthread_mutex_init(&shard->lock, NULL);
        list_init(&shard->used);
    }
    *ret_rates = rates;
    return ERR_OK;
}

static void free_bucket(struct hash_link *link)
{
    free(CONTAINER_OF(link, struct bucket, link));
}

void message_rates_free(struct message_rates *rates)
{
    if (rates == NULL)
        return;
    for (unsigned i = 0; i < MESSAGE_RATES_SHARDS; i++) {
        hash_table_clear(&rates->shards[i].table, free_bucket);
        hash_table_fini(&rates->shards[i].table);
        pthread_mutex_destroy(&rates->shards[i].lock);
    }
    free(rates);
}

static struct bucket *find_bucket(const struct shard *shard, struct span user_id, uint64_t hash)
{
    size_t at = hash_table_bucket(&shard->table, hash);
    HASH_TABLE_FOR_EACH_IN(link, &shard->table, at)
    {
        struct bucket *bucket = CONTAINER_OF(link, struct bucket, link);
        if (bucket->hash == hash &&
            span_equal((struct span){bucket->user_id, bucket->user_id_len}, user_id))
            return bucket;
    }
    return NULL;
}

static void forget_full(struct shard *shard, int64_t now_us)
{
    while (!list_is_empty(&shard->used)) {
        struct bucket *bucket = CONTAINER_OF(shard->used.next, struct bucket, used);
        if (bucket->rate.full_us > now_us)
            return;
        list_remove(&bucket->used);
        hash_table_remove(&shard->table, &bucket->link);
        free(bucket);
    }
}

static enum err add_bucket(struct shard *shard, struct span user_id, uint64_t hash, int64_t now_us,
                           struct bucket **ret_bucket)
{
    if (shard->table.n_links >= SHARD_USERS_MAX)
        forget_full(shard, now_us);
    if (shard->table.n_links >= SHARD_USERS_MAX)
        return ERR_FULL;
    struct bucket *bucket = malloc(sizeof *bucket + user_id.len);
    if (bucket == NULL)
        return ERR_NO_MEMORY;
    *bucket = (struct bucket){.hash = hash, .user_id_len = (uint8_t)user_id.len};
    memcpy(bucket->user_id, user_id.bytes, user_id.len);
    list_init(&bucket->used);
    hash_table_add(&shard->table, &bucket->link);
    *ret_bucket = bucket;
    return ERR_OK;
}

static enum err take_from(struct shard *shard, struct span user_id, uint64_t hash, int64_t now_us,
                          int64_t per_second)
{
    struct bucket *bucket = find_bucket(shard, user_id, hash);
    enum err error = bucket != NULL ? ERR_OK : add_bucket(shard, user_id, hash, now_us, &bucket);
    if (error != ERR_OK)
        return error;
    list_remove(&bucket->used);
    list_append(&shard->used, &bucket->used);
    int64_t burst = MESSAGE_RATES_BURST_S * per_second;
    return rate_take(&bucket->rate, now_us, per_second, burst, 1) ? ERR_OK : ERR_RATE;
}

enum err message_rates_take(struct message_rates *rates, struct span user_id, int64_t now_us,
                            int64_t per_second)
{
    uint64_t hash = hash_bytes(user_id);
    struct shard *shard = &rates->shards[(hash >> 32) % MESSAGE_RATES_SHARDS];
    pthread_mutex_lock(&shard->lock);
    enum err error = take_from(shard, user_id, hash, now_us, per_second);
    pthread_mutex_unlock(&shard->lock);
    return error;
}

void message_rates_sweep(struct message_rates *rates, unsigned shard, int64_t now_us)
{
    pthread_mutex_lock(&rates->shards[shard].lock);
    forget_full(&rates->shards[shard], now_us);
    pthread_mutex_unlock(&rates->shards[shard].lock);
}
