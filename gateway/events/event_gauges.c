/* The first worker asks each partition for its consumers. What they say is kept until the next
 * look, and printed when the metrics are read. Events that were written are counted from the
 * numbers of the partitions that this node serves, whoever wrote them: so the sum over a fleet
 * counts each once. While the store is away the last figures stay. */
#include "gateway/events/event_gauges.h"

#include "gateway/base/log.h"
#include "gateway/base/metrics.h"
#include "gateway/events/event_consumers.h"
#include "gateway/events/serving.h"
#include "gateway/node/worker.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { LOOK_EACH_S = 2, HIGH_PERCENT = 75, LOW_PERCENT = 70 };

/* A consumer in all partitions together. */
struct gauged {
    char key[STORE_CONSUMER_KEY_MAX_BYTES];
    size_t key_len;
    uint64_t lag;
    int64_t lag_ms;
};

struct seen_head {
    struct epoch epoch;
    uint64_t head;
};

struct event_gauges {
    struct metrics_source source;
    struct events *events;
    unsigned seconds; /* the first worker's */
    atomic_bool is_asking;
    struct consumers_call call; /* while is_asking, as the rest of this part */
    struct seen_head heads[STORE_PARTITIONS];
    unsigned high; /* partitions whose fill is in the log */
    bool has_looked;

    pthread_mutex_t lock; /* for all below */
    double fill;          /* of the fullest partition: 1 is full */
    size_t n;
    struct gauged list[STORE_MAX_CONSUMERS];
};

/* ---- the metrics ---- */

static enum err print_consumers(const struct event_gauges *gauges, enum metric_family family,
                                struct buf *out)
{
    enum err error = ERR_OK;
    for (size_t i = 0; i < gauges->n && error == ERR_OK; i++) {
        const struct gauged *gauged = &gauges->list[i];
        char labels[STORE_CONSUMER_MAX_BYTES + 40];
        snprintf(labels, sizeof labels, "consumer=\"%.*s\",kind=\"%s\"", (int)gauged->key_len - 1,
                 gauged->key + 1, gauged->key[0] == STORE_PULL ? "pull" : "webhook");
        int64_t value = family == FAMILY_EVENTS_LAG ? (int64_t)gauged->lag : gauged->lag_ms / 1000;
        error = metrics_print_line(out, family, labels, value);
    }
    return error;
}

static enum err print_gauges(struct metrics_source *source, enum metric_family family,
                             struct buf *out)
{
    struct event_gauges *gauges = CONTAINER_OF(source, struct event_gauges, source);
    enum err error = ERR_OK;
    pthread_mutex_lock(&gauges->lock);
    if (family == FAMILY_EVENTS_FILL)
        error = buf_printf(out, "herald_events_fill_ratio %.4f\n", gauges->fill);
    else if (family == FAMILY_EVENTS_LAG || family == FAMILY_EVENTS_LAG_SECONDS)
        error = print_consumers(gauges, family, out);
    pthread_mutex_unlock(&gauges->lock);
    return error;
}

/* ---- what the partitions have said ---- */

static struct gauged *find_gauged(struct event_gauges *gauges, const struct store_consumer *said)
{
    struct span key = {said->key, said->key_len};
    for (size_t i = 0; i < gauges->n; i++) {
        if (span_equal((struct span){gauges->list[i].key, gauges->list[i].key_len}, key))
            return &gauges->list[i];
    }
    if (gauges->n == STORE_MAX_CONSUMERS)
        return NULL; /* one comes while another goes */
    struct gauged *added = &gauges->list[gauges->n++];
    *added = (struct gauged){.key_len = key.len};
    memcpy(added->key, key.bytes, key.len);
    return added;
}

/* Under the lock. */
static void gauge_consumers(struct event_gauges *gauges, const struct store_consumers *answer)
{
    int64_t now_ms =
        store_now_of(gauges->events->node->store, store_partition_user(answer->partition));
    for (size_t i = 0; i < answer->n; i++) {
        const struct store_consumer *said = &answer->list[i];
        struct gauged *gauged = find_gauged(gauges, said);
        if (gauged == NULL)
            continue;
        gauged->lag += said->lag;
        if (said->oldest_ms > 0 && now_ms - said->oldest_ms > gauged->lag_ms)
            gauged->lag_ms = now_ms - said->oldest_ms;
    }
}

static double fill_of(const struct options *options, const struct store_consumers *answer)
{
    double count = (double)answer->count / (double)options->events_max;
    double bytes = (double)answer->bytes / (double)options->events_max_bytes;
    return count > bytes ? count : bytes;
}

static void log_fill(struct event_gauges *gauges, const struct store_consumers *answer, double fill)
{
    unsigned bit = 1u << answer->partition;
    bool is_high = fill * 100 >= HIGH_PERCENT;
    if (is_high && (gauges->high & bit) == 0)
        log_event(LOG_WARN, "a partition of events is filled to three quarters",
                  LOG_INT("partition", answer->partition), LOG_INT("events", answer->count),
                  LOG_INT("bytes", answer->bytes), LOG_INT("consumers", answer->n),
                  LOG_TEXT("advice", "see GET /events/consumers for who is behind; client messages "
                                     "and alertAfter are refused, and then the oldest events go"));
    if (is_high)
        gauges->high |= bit;
    else if (fill * 100 < LOW_PERCENT)
        gauges->high &= ~bit;
}

static void count_written(struct event_gauges *gauges, const struct store_consumers *answer)
{
    struct seen_head *seen = &gauges->heads[answer->partition];
    bool goes_on = epoch_equal(seen->epoch, answer->epoch) && answer->head >= seen->head;
    uint64_t written = goes_on ? answer->head - seen->head : answer->head;
    bool is_mine = serving_is_mine(gauges->events->serving, answer->partition);
    if (gauges->has_looked && is_mine)
        metrics_add(METRIC_EVENTS_WRITTEN, written);
    *seen = (struct seen_head){answer->epoch, answer->head};
}

static void on_looked(struct consumers_call *call)
{
    struct event_gauges *gauges = CONTAINER_OF(call, struct event_gauges, call);
    const struct options *options = atomic_load(&gauges->events->node->options);
    bool is_ok = call->error == ERR_OK;
    double fullest = 0;
    pthread_mutex_lock(&gauges->lock);
    gauges->n = is_ok ? 0 : gauges->n;
    for (unsigned i = 0; is_ok && i < STORE_PARTITIONS; i++)
        gauge_consumers(gauges, &call->answers[i]);
    for (unsigned i = 0; is_ok && i < STORE_PARTITIONS; i++) {
        double fill = fill_of(options, &call->answers[i]);
        fullest = fill > fullest ? fill : fullest;
    }
    gauges->fill = is_ok ? fullest : gauges->fill;
    pthread_mutex_unlock(&gauges->lock);
    for (unsigned i = 0; is_ok && i < STORE_PARTITIONS; i++) {
        count_written(gauges, &call->answers[i]);
        log_fill(gauges, &call->answers[i], fill_of(options, &call->answers[i]));
    }
    gauges->has_looked = gauges->has_looked || is_ok;
    atomic_store(&gauges->is_asking, false);
}

static void look(struct event_gauges *gauges)
{
    if (atomic_exchange(&gauges->is_asking, true))
        return;
    gauges->call = (struct consumers_call){.on_done = on_looked};
    consumers_ask(gauges->events, &gauges->call, PARTITIONS_ALL, CONSUMERS_LIST);
}

void event_gauges_start(struct event_gauges *gauges)
{
    look(gauges);
}

void event_gauges_on_second(struct event_gauges *gauges, const struct worker *worker)
{
    if (worker->index == 0 && gauges->seconds++ % LOOK_EACH_S == 0)
        look(gauges);
}

enum err event_gauges_new(struct events *events, struct event_gauges **ret_gauges)
{
    struct event_gauges *gauges = calloc(1, sizeof *gauges);
    if (gauges == NULL)
        return ERR_NO_MEMORY;
    if (pthread_mutex_init(&gauges->lock, NULL) != 0) {
        free(gauges);
        return ERR_NO_MEMORY;
    }
    gauges->events = events;
    gauges->source.print = print_gauges;
    metrics_add_source(&gauges->source);
    *ret_gauges = gauges;
    return ERR_OK;
}

void event_gauges_free(struct event_gauges *gauges)
{
    if (gauges == NULL)
        return;
    metrics_remove_source(&gauges->source);
    pthread_mutex_destroy(&gauges->lock);
    free(gauges);
}
