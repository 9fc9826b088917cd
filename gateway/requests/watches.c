/* A position passes numbers that were not acknowledged, too. Where it shows by itself that one was,
 * the answer says so; otherwise it sends the other node to the store, behind the position. Whether
 * the notification has expired the other node knows. */
#include "gateway/requests/watches.h"

#include "gateway/base/hash.h"
#include "gateway/delivery/position_writer.h"

#include <stdlib.h>

enum { BUCKETS = 64 };

struct watch {
    struct list link; /* in its bucket */
    struct list age;  /* in the worker's list: the oldest first */
    struct store_watch watch;
    int64_t until_ms; /* monotonic */
    uint64_t hash;
    size_t user_id_len;
    char user_id[];
};

/* Of one worker. Its thread's. */
struct worker_watches {
    unsigned n;
    struct list ages;
    struct list buckets[BUCKETS];
};

struct watches {
    atomic_uint n; /* of all workers */
    unsigned n_workers;
    struct worker_watches workers[];
};

static void init_worker(struct worker_watches *at)
{
    list_init(&at->ages);
    for (unsigned i = 0; i < BUCKETS; i++)
        list_init(&at->buckets[i]);
}

struct watches *watches_new(unsigned n_workers)
{
    struct watches *watches = calloc(1, sizeof *watches + n_workers * sizeof watches->workers[0]);
    if (watches == NULL)
        return NULL;
    watches->n_workers = n_workers;
    for (unsigned i = 0; i < n_workers; i++)
        init_worker(&watches->workers[i]);
    return watches;
}

static void forget_watch(struct watches *watches, struct worker_watches *at, struct watch *watch)
{
    list_remove(&watch->link);
    list_remove(&watch->age);
    at->n--;
    atomic_fetch_sub_explicit(&watches->n, 1, memory_order_relaxed);
    free(watch);
}

static struct watch *oldest_watch(const struct worker_watches *at)
{
    return list_is_empty(&at->ages) ? NULL : CONTAINER_OF(at->ages.next, struct watch, age);
}

void watches_free(struct watches *watches)
{
    for (unsigned i = 0; watches != NULL && i < watches->n_workers; i++) {
        struct worker_watches *at = &watches->workers[i];
        while (!list_is_empty(&at->ages))
            forget_watch(watches, at, oldest_watch(at));
    }
    free(watches);
}

/* Does the client's position show by itself that the number was acknowledged, unless it expired? */
static bool shows_fate(const struct client *client, const struct store_watch *watch)
{
    const struct options *options = client_worker(client)->node->options;
    int64_t room = options->inbox_max_bytes / options->max_data;
    if (options->inbox_max < room)
        room = options->inbox_max;
    return client->head < watch->seq + (uint64_t)room &&
           !atomic_load_explicit(&client->has_devices, memory_order_relaxed);
}

static void answer_watch(struct client *client, const struct store_watch *watch, uint64_t acked)
{
    const struct worker *worker = client_worker(client);
    bool is_certain = shows_fate(client, watch);
    if (!is_certain)
        position_writer_flush(client); /* before the answer */
    store_watch_answer(worker->node->store, worker->index, watch, is_certain ? acked : 0);
}

static void forget_overdue(struct watches *watches, struct worker_watches *at, int64_t now_ms)
{
    struct watch *oldest;
    while ((oldest = oldest_watch(at)) != NULL && oldest->until_ms <= now_ms)
        forget_watch(watches, at, oldest);
}

/* There is no room, or no memory: the other node finds it by itself. */
static void keep_watch(struct watches *watches, struct client *client,
                       const struct store_watch *asked)
{
    const struct worker *worker = client_worker(client);
    struct worker_watches *at = &watches->workers[worker->index];
    struct span user_id = client_user_id(client);
    forget_overdue(watches, at, worker_now_ms(worker));
    if (atomic_load_explicit(&watches->n, memory_order_relaxed) >= WATCHES_MAX)
        return;
    struct watch *watch = calloc(1, sizeof *watch + user_id.len);
    if (watch == NULL)
        return;
    watch->watch = *asked;
    watch->until_ms = worker_now_ms(worker) + WATCH_LIFE_MS;
    watch->hash = hash_bytes(user_id);
    watch->user_id_len = user_id.len;
    memcpy(watch->user_id, user_id.bytes, user_id.len);
    list_append(&at->ages, &watch->age);
    list_append(&at->buckets[watch->hash % BUCKETS], &watch->link);
    at->n++;
    atomic_fetch_add_explicit(&watches->n, 1, memory_order_relaxed);
}

/* By any of the sessions, with a device or without. */
static uint64_t highest_acked(const struct client *client)
{
    uint64_t acked = client->shared.is_known ? position_acked(&client->shared) : 0;
    for (const struct device_position *at = client->more->devices; at != NULL; at = at->next)
        acked = position_acked(&at->position) > acked ? position_acked(&at->position) : acked;
    return acked;
}

void watches_add(struct watches *watches, struct client *client, const struct store_watch *watch)
{
    uint64_t acked = highest_acked(client);
    if (epoch_equal(client->epoch, watch->epoch) && acked >= watch->seq)
        answer_watch(client, watch, acked);
    else
        keep_watch(watches, client, watch);
}

static bool is_of(const struct watch *watch, uint64_t hash, const struct client *client)
{
    return watch->hash == hash &&
           span_equal((struct span){watch->user_id, watch->user_id_len}, client_user_id(client)) &&
           epoch_equal(watch->watch.epoch, client->epoch);
}

void watches_acked(struct watches *watches, struct client *client, uint64_t acked)
{
    struct worker_watches *at = &watches->workers[client_worker(client)->index];
    if (at->n == 0)
        return;
    uint64_t hash = hash_bytes(client_user_id(client));
    LIST_FOR_EACH_SAFE(link, &at->buckets[hash % BUCKETS])
    {
        struct watch *watch = CONTAINER_OF(link, struct watch, link);
        if (!is_of(watch, hash, client) || watch->watch.seq > acked)
            continue;
        answer_watch(client, &watch->watch, acked);
        forget_watch(watches, at, watch);
    }
}
