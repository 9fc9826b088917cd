/* A position passes numbers that were not acknowledged, too. Where it shows by itself that one was,
 * the answer says so; otherwise it sends the other node to the store, behind the position. Whether
 * the notification has expired the other node knows; that it was withdrawn or replaced it does not
 * hear, and is sent to the store as soon as that is reported here. */
#include "gateway/requests/watches.h"

#include "gateway/base/hash.h"
#include "gateway/delivery/position_writer.h"

#include <stdlib.h>

enum { BUCKETS = 64, FILTER_SLOTS = 256 };

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
    struct watches *watches;
    struct worker *worker; /* once it has had one */
    struct timer timer;    /* set while it has one: when the oldest is overdue */
    unsigned n;
    struct list ages;
    struct list buckets[BUCKETS];
};

struct watches {
    atomic_uint n;                    /* of all workers */
    atomic_uint filter[FILTER_SLOTS]; /* how many of them, by the hash of their user */
    unsigned n_workers;
    struct worker_watches workers[];
};

static void on_overdue(struct timer *timer);

static void init_worker(struct watches *watches, struct worker_watches *at)
{
    at->watches = watches;
    timer_init(&at->timer, on_overdue);
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
        init_worker(watches, &watches->workers[i]);
    return watches;
}

static void count_watch(struct worker_watches *at, uint64_t hash, int delta)
{
    at->n += (unsigned)delta;
    atomic_fetch_add(&at->watches->n, (unsigned)delta);
    atomic_fetch_add(&at->watches->filter[hash % FILTER_SLOTS], (unsigned)delta);
}

static void forget_watch(struct worker_watches *at, struct watch *watch)
{
    list_remove(&watch->link);
    list_remove(&watch->age);
    count_watch(at, watch->hash, -1);
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
            forget_watch(at, oldest_watch(at));
    }
    free(watches);
}

bool watches_show_fate(const struct client *client, uint64_t seq)
{
    const struct options *options = client_worker(client)->node->options;
    int64_t of_bytes = options->inbox_max_bytes / options->max_data;
    int64_t room = options->inbox_max < of_bytes ? options->inbox_max : of_bytes;
    return client->head < seq + (uint64_t)room &&
           !atomic_load_explicit(&client->has_devices, memory_order_relaxed);
}

static void answer_watch(struct client *client, const struct store_watch *watch, uint64_t acked)
{
    const struct worker *worker = client_worker(client);
    bool is_certain = watches_show_fate(client, watch->seq);
    if (!is_certain)
        position_writer_flush(client); /* before the answer */
    store_watch_answer(worker->node->store, worker->index, client_user_id(client), watch,
                       is_certain ? acked : 0);
}

/* Also on a worker that hears of no other: what is overdue takes the room of all workers. */
static void on_overdue(struct timer *timer)
{
    struct worker_watches *at = CONTAINER_OF(timer, struct worker_watches, timer);
    struct watch *oldest;
    while ((oldest = oldest_watch(at)) != NULL && oldest->until_ms <= worker_now_ms(at->worker))
        forget_watch(at, oldest);
    if (oldest != NULL)
        worker_set_timer(at->worker, timer, oldest->until_ms);
}

/* There is no room, or no memory: the other node finds it by itself. */
static void keep_watch(struct watches *watches, struct client *client,
                       const struct store_watch *asked)
{
    struct worker *worker = client_worker(client);
    struct worker_watches *at = &watches->workers[worker->index];
    struct span user_id = client_user_id(client);
    if (atomic_load(&watches->n) >= WATCHES_MAX)
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
    count_watch(at, watch->hash, 1);
    at->worker = worker;
    if (at->n == 1)
        worker_set_timer(worker, &at->timer, watch->until_ms);
}

static uint64_t lower_of(const struct position *position, uint64_t lowest)
{
    uint64_t acked = position->is_known ? position_acked(position) : 0;
    return acked < lowest ? acked : lowest;
}

/* By all of the positions here: the inbox waits for the devices, and for the sessions without a
 * device while one is open. */
static uint64_t lowest_acked(const struct client *client)
{
    uint64_t lowest = UINT64_MAX;
    for (const struct device_position *at = client->more->devices; at != NULL; at = at->next)
        lowest = lower_of(&at->position, lowest);
    if (client->shared.n_sessions > 0 || client->more->devices == NULL)
        lowest = lower_of(&client->shared, lowest);
    return lowest;
}

void watches_add(struct watches *watches, struct client *client, const struct store_watch *watch)
{
    uint64_t acked = lowest_acked(client);
    if (epoch_equal(client->epoch, watch->epoch) && acked >= watch->seq)
        answer_watch(client, watch, acked);
    else
        keep_watch(watches, client, watch);
}

static bool is_of(const struct watch *watch, uint64_t hash, struct span user_id, struct epoch epoch)
{
    return watch->hash == hash &&
           span_equal((struct span){watch->user_id, watch->user_id_len}, user_id) &&
           epoch_equal(watch->watch.epoch, epoch);
}

void watches_acked(struct watches *watches, struct client *client)
{
    struct worker_watches *at = &watches->workers[client_worker(client)->index];
    if (at->n == 0)
        return;
    uint64_t acked = lowest_acked(client);
    uint64_t hash = hash_bytes(client_user_id(client));
    LIST_FOR_EACH_SAFE(link, &at->buckets[hash % BUCKETS])
    {
        struct watch *watch = CONTAINER_OF(link, struct watch, link);
        if (!is_of(watch, hash, client_user_id(client), client->epoch) || watch->watch.seq > acked)
            continue;
        answer_watch(client, &watch->watch, acked);
        forget_watch(at, watch);
    }
}

/* ---- what leaves the inbox otherwise ---- */

bool watches_may_have(const struct watches *watches, struct span user_id)
{
    return atomic_load(&watches->n) > 0 &&
           atomic_load(&watches->filter[hash_bytes(user_id) % FILTER_SLOTS]) > 0;
}

static bool takes_out(struct inbox_event event, uint64_t seq)
{
    return event.kind == INBOX_WITHDRAWAL ? withdrawal_has(event.withdrawal, seq)
                                          : event.note->replaces == seq;
}

void watches_on_event(struct watches *watches, const struct worker *home, struct span user_id,
                      struct inbox_event event)
{
    struct worker_watches *at = &watches->workers[home->index];
    uint64_t hash = hash_bytes(user_id);
    LIST_FOR_EACH_SAFE(link, &at->buckets[hash % BUCKETS])
    {
        struct watch *watch = CONTAINER_OF(link, struct watch, link);
        if (!is_of(watch, hash, user_id, inbox_event_epoch(event)) ||
            !takes_out(event, watch->watch.seq))
            continue;
        store_watch_answer(home->node->store, home->index, user_id, &watch->watch, 0);
        forget_watch(at, watch);
    }
}
