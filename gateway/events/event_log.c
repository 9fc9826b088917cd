/* Writing: each partition has a queue and at most one request. An event that finds none under way
 * is sent at once; what comes meanwhile waits, and goes with the next request, as many as one may
 * take. A request has events of one kind, bounded or not, because the store refuses it as a whole.
 * A failure is answered to those who wrote: nothing is written again here, because it may have been
 * kept.
 *
 * Hearing: the store is asked for a page of the reserved user with is_arrival. What it answers, and
 * what it reports from then on, tells the newest number; the listeners are told each time. When the
 * store may have missed a report, the page is asked for again. While the store is away the request
 * fails, and is made again each second. */
#include "gateway/events/event_log.h"

#include "gateway/base/metrics.h"
#include "gateway/node/worker.h"
#include "gateway/store/store_event_request.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    BATCH_MAX = STORE_EVENTS_AT_ONCE,
    BATCH_MAX_BYTES = 1 << 20,
    BATCH_SHARE = 8, /* a request takes at most this part of a partition's ceilings */
};

struct partition_log {
    struct event_log *log;
    unsigned partition;
    pthread_mutex_t lock; /* for all below; innermost: nothing is called while it is held */

    struct list waiting; /* struct event_append */
    size_t n_waiting;
    size_t waiting_bytes;
    bool is_writing;
    struct list batch; /* of the request under way */
    struct store_event_append request;
    struct span events[BATCH_MAX];

    bool is_asking; /* `page` is under way */
    bool must_ask;  /* the store reports nothing, or what it has said may be old */
    bool hears;     /* it reports */
    struct store_page page;
    struct store_known known;
};

struct event_log {
    struct events *events;
    size_t batch_max;
    size_t batch_max_bytes;
    atomic_bool is_started;
    atomic_bool is_stopped;
    atomic_uint n_calls; /* of the store, under way: the stop waits until they have returned */
    _Atomic(struct event_listener *) listeners;
    struct partition_log partitions[STORE_PARTITIONS];
};

static struct store *store_of(const struct partition_log *partition)
{
    return partition->log->events->node->store;
}

static unsigned lane_of(const struct partition_log *partition)
{
    return store_partition_lane(partition->partition, partition->log->events->node->n_workers);
}

static size_t share_of(int64_t ceiling, size_t max)
{
    size_t share = (size_t)ceiling / BATCH_SHARE;
    return share < 1 ? 1 : share < max ? share : max;
}

enum err event_log_new(struct events *events, struct event_log **ret_log)
{
    const struct options *options = atomic_load(&events->node->options);
    struct event_log *log = calloc(1, sizeof *log);
    if (log == NULL)
        return ERR_NO_MEMORY;
    log->events = events;
    log->batch_max = share_of(options->events_max, BATCH_MAX);
    log->batch_max_bytes = share_of(options->events_max_bytes, BATCH_MAX_BYTES);
    for (unsigned i = 0; i < STORE_PARTITIONS; i++) {
        struct partition_log *partition = &log->partitions[i];
        partition->log = log;
        partition->partition = i;
        partition->must_ask = true;
        list_init(&partition->waiting);
        list_init(&partition->batch);
        if (pthread_mutex_init(&partition->lock, NULL) != 0) {
            event_log_free(log);
            return ERR_NO_MEMORY;
        }
    }
    *ret_log = log;
    return ERR_OK;
}

void event_log_free(struct event_log *log)
{
    if (log == NULL)
        return;
    for (unsigned i = 0; i < STORE_PARTITIONS && log->partitions[i].log != NULL; i++)
        pthread_mutex_destroy(&log->partitions[i].lock);
    free(log);
}

/* ---- writing ---- */

static void on_written(struct store_request *request);

/* Under the lock. Takes what the next request may take from the queue. false: nothing waits, or the
 * stop will answer it. */
static bool take_batch(struct partition_log *partition)
{
    struct event_log *log = partition->log;
    struct store_event_append *request = &partition->request;
    size_t bytes = 0;
    size_t n = 0;
    partition->is_writing = false;
    if (atomic_load(&log->is_stopped) || list_is_empty(&partition->waiting))
        return false;
    LIST_FOR_EACH_SAFE(link, &partition->waiting)
    {
        struct event_append *append = CONTAINER_OF(link, struct event_append, link);
        bool has_room = n < log->batch_max && bytes + append->data.len <= log->batch_max_bytes;
        if (n > 0 && (!has_room || append->is_bounded != request->is_bounded))
            break;
        request->is_bounded = append->is_bounded;
        partition->events[n++] = append->data;
        bytes += append->data.len;
        list_remove(link);
        list_append(&partition->batch, link);
    }
    partition->n_waiting -= n;
    partition->waiting_bytes -= bytes;
    partition->is_writing = true;
    request->n = n;
    atomic_fetch_add(&log->n_calls, 1);
    return true;
}

/* Outside of the lock: the request is this thread's until it is answered. */
static void send_batch(struct partition_log *partition)
{
    struct store_event_append *request = &partition->request;
    request->request = (struct store_request){.on_done = on_written, .lane = lane_of(partition)};
    request->partition = partition->partition;
    request->events = partition->events;
    struct event_log *log = partition->log;
    store_event_append(store_of(partition), request);
    atomic_fetch_sub(&log->n_calls, 1);
}

static void on_written(struct store_request *request)
{
    struct partition_log *partition = CONTAINER_OF(
        CONTAINER_OF(request, struct store_event_append, request), struct partition_log, request);
    enum err error = partition->request.error;
    if (error == ERR_FULL)
        metrics_add(METRIC_EVENTS_REFUSED_FULL, partition->request.n);
    else if (error != ERR_OK)
        metrics_add(METRIC_EVENTS_REFUSED_STORE, partition->request.n);
    /* The batch is this thread's while is_writing is set. */
    LIST_FOR_EACH_SAFE(link, &partition->batch)
    {
        struct event_append *append = CONTAINER_OF(link, struct event_append, link);
        list_remove(link);
        append->error = error;
        append->on_done(append);
    }
    pthread_mutex_lock(&partition->lock);
    bool has_more = take_batch(partition);
    pthread_mutex_unlock(&partition->lock);
    if (has_more)
        send_batch(partition);
}

enum err event_log_append(struct event_log *log, struct event_append *append)
{
    struct partition_log *partition = &log->partitions[store_partition_of(append->user_id)];
    bool must_send = false;
    enum err error = ERR_OK;
    pthread_mutex_lock(&partition->lock);
    if (atomic_load(&log->is_stopped)) {
        error = ERR_STORE_UNAVAILABLE;
    } else if (partition->n_waiting >= EVENT_LOG_WAITING_MAX ||
               partition->waiting_bytes + append->data.len > EVENT_LOG_WAITING_MAX_BYTES) {
        error = ERR_FULL;
    } else {
        list_append(&partition->waiting, &append->link);
        partition->n_waiting++;
        partition->waiting_bytes += append->data.len;
        must_send = !partition->is_writing && take_batch(partition);
    }
    pthread_mutex_unlock(&partition->lock);
    if (error == ERR_FULL)
        metrics_count(METRIC_EVENTS_REFUSED_WAITING);
    if (must_send)
        send_batch(partition);
    return error;
}

static void answer_waiting(struct partition_log *partition)
{
    struct list waiting;
    list_init(&waiting);
    pthread_mutex_lock(&partition->lock);
    list_move_all(&waiting, &partition->waiting);
    metrics_add(METRIC_EVENTS_REFUSED_STORE, partition->n_waiting);
    partition->n_waiting = 0;
    partition->waiting_bytes = 0;
    pthread_mutex_unlock(&partition->lock);
    LIST_FOR_EACH_SAFE(link, &waiting)
    {
        struct event_append *append = CONTAINER_OF(link, struct event_append, link);
        list_remove(link);
        append->error = ERR_STORE_UNAVAILABLE;
        append->on_done(append);
    }
}

void event_log_stop(struct event_log *log)
{
    atomic_store(&log->is_stopped, true);
    for (unsigned i = 0; i < STORE_PARTITIONS; i++)
        answer_waiting(&log->partitions[i]);
    while (atomic_load(&log->n_calls) > 0)
        usleep(1000);
}

/* ---- hearing ---- */

static void tell_listeners(struct event_log *log, unsigned partition)
{
    struct event_listener *listener = atomic_load(&log->listeners);
    for (; listener != NULL; listener = listener->next)
        listener->on_events(listener, partition);
}

static void on_page(struct store_request *request);

/* Asks the store for the newest number, and (is_arrival) to report what comes after it. */
static void ask_store(struct partition_log *partition)
{
    struct event_log *log = partition->log;
    if (atomic_load(&log->listeners) == NULL || !atomic_load(&log->is_started))
        return;
    pthread_mutex_lock(&partition->lock);
    bool asks = partition->must_ask && !partition->is_asking && !atomic_load(&log->is_stopped);
    if (asks) {
        atomic_fetch_add(&log->n_calls, 1);
        partition->is_asking = true;
        partition->must_ask = false;
        partition->page = (struct store_page){
            .request = {.on_done = on_page, .lane = lane_of(partition)},
            .user_id = store_partition_user(partition->partition),
            .is_arrival = !partition->hears,
            .after = partition->known.head,
            .after_epoch = partition->known.epoch,
            .known_head = partition->known.head,
            .known_epoch = partition->known.epoch,
            .known_time = partition->known.time,
            .max_count = 1,
            .max_bytes = 1,
        };
    }
    pthread_mutex_unlock(&partition->lock);
    if (!asks)
        return;
    store_page(store_of(partition), &partition->page);
    atomic_fetch_sub(&log->n_calls, 1);
}

static void on_page(struct store_request *request)
{
    struct store_page *page = CONTAINER_OF(request, struct store_page, request);
    struct partition_log *partition = CONTAINER_OF(page, struct partition_log, page);
    struct store_known said = {page->epoch, page->head, page->head_time};
    bool is_ok = page->error == ERR_OK;
    store_page_clear(page);
    pthread_mutex_lock(&partition->lock);
    struct store_known *known = &partition->known;
    partition->is_asking = false;
    partition->hears = partition->hears || is_ok;
    partition->must_ask = partition->must_ask || !is_ok;
    if (is_ok && (!epoch_equal(known->epoch, said.epoch) || said.head > known->head))
        *known = said;
    bool asks_again = is_ok && partition->must_ask;
    pthread_mutex_unlock(&partition->lock);
    if (is_ok)
        tell_listeners(partition->log, partition->partition);
    if (asks_again)
        ask_store(partition);
}

static void ask_for_all(struct event_log *log)
{
    for (unsigned i = 0; i < STORE_PARTITIONS; i++)
        ask_store(&log->partitions[i]);
}

void event_log_listen(struct event_log *log, struct event_listener *listener)
{
    listener->next = atomic_load(&log->listeners);
    while (!atomic_compare_exchange_weak(&log->listeners, &listener->next, listener))
        ;
    ask_for_all(log);
}

void event_log_start(struct event_log *log)
{
    atomic_store(&log->is_started, true);
    ask_for_all(log);
}

void event_log_on_second(struct event_log *log, const struct worker *worker)
{
    for (unsigned i = 0; i < STORE_PARTITIONS; i++) {
        if (lane_of(&log->partitions[i]) == worker->index)
            ask_store(&log->partitions[i]);
    }
}

void event_log_on_event(struct event_log *log, unsigned index, struct inbox_event event)
{
    struct partition_log *partition = &log->partitions[index];
    if (event.kind != INBOX_NOTIFICATION)
        return;
    pthread_mutex_lock(&partition->lock);
    partition->known =
        (struct store_known){event.note->epoch, event.note->seq, store_time(event.note->time_ms)};
    pthread_mutex_unlock(&partition->lock);
    tell_listeners(log, index);
}

void event_log_on_missed(struct event_log *log, unsigned index)
{
    struct partition_log *partition = &log->partitions[index];
    pthread_mutex_lock(&partition->lock);
    partition->must_ask = true;
    pthread_mutex_unlock(&partition->lock);
    ask_store(partition);
}

void event_log_get_known(struct event_log *log, unsigned index, struct store_known *ret_known)
{
    struct partition_log *partition = &log->partitions[index];
    pthread_mutex_lock(&partition->lock);
    *ret_known = partition->known;
    pthread_mutex_unlock(&partition->lock);
}
