#include "gateway/base/metrics.h"

#include "gateway/base/list.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

/* Each thread counts in its own block, which no other thread writes; a scrape reads all blocks
 * under the mutex. A thread that ends adds its block to the totals. Gauges are shared words,
 * because they change rarely compared with counters. */

static const struct {
    int64_t ms;
    const char *le; /* in seconds */
} bounds[] = {
    {1, "0.001"},  {2, "0.002"},  {5, "0.005"},  {10, "0.01"},        {20, "0.02"}, {50, "0.05"},
    {100, "0.1"},  {200, "0.2"},  {500, "0.5"},  {1000, "1"},         {2000, "2"},  {5000, "5"},
    {10000, "10"}, {30000, "30"}, {60000, "60"}, {INT64_MAX, "+Inf"},
};

/* The words of a histogram: one per bucket, not cumulative, and the sum in ms. */
enum {
    BOUNDS = sizeof bounds / sizeof bounds[0],
    HISTOGRAM_WORDS = BOUNDS + 1,
    WORDS = METRIC_COUNT + HISTOGRAM_COUNT * HISTOGRAM_WORDS,
};

struct block {
    struct list link; /* in blocks */
    _Atomic uint64_t counts[WORDS];
};

static pthread_mutex_t mutex =
    PTHREAD_MUTEX_INITIALIZER; /* guards `blocks` and the addition of a block to the totals */
static struct list blocks = {&blocks, &blocks};
static _Atomic uint64_t totals[WORDS]; /* of threads that have ended */
static _Atomic int64_t gauges[METRIC_COUNT];

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t at_thread_end;
static bool has_key;
static _Thread_local struct block *own;

static const struct {
    const char *name;
    const char *labels;
    const char *help;
    bool is_gauge;
} rows[] = {
#define HISTOGRAM(name, prometheus, labels, help)
#define COUNTER(name, prometheus, labels, help) {prometheus, labels, help, false},
#define GAUGE(name, prometheus, labels, help)   {prometheus, labels, help, true},
#include "gateway/base/metrics.def"
#undef HISTOGRAM
#undef COUNTER
#undef GAUGE
};

static const struct {
    const char *name;
    const char *labels;
    const char *help;
} histograms[] = {
#define HISTOGRAM(name, prometheus, labels, help) {prometheus, labels, help},
#define COUNTER(name, prometheus, labels, help)
#define GAUGE(name, prometheus, labels, help)
#include "gateway/base/metrics.def"
#undef HISTOGRAM
#undef COUNTER
#undef GAUGE
};

static const struct {
    const char *name;
    const char *type;
    const char *help;
} families[] = {
#define COUNTER(name, prometheus, labels, help)
#define GAUGE(name, prometheus, labels, help)
#define HISTOGRAM(name, prometheus, labels, help)
#define FAMILY(name, prometheus, type, help) {prometheus, type, help},
#include "gateway/base/metrics.def"
#undef COUNTER
#undef GAUGE
#undef HISTOGRAM
};

static pthread_mutex_t sources_mutex = PTHREAD_MUTEX_INITIALIZER; /* guards `sources` */
static struct metrics_source *sources;

static void fold_block(void *argument)
{
    struct block *block = argument;
    own = NULL;
    pthread_mutex_lock(&mutex);
    for (size_t i = 0; i < WORDS; i++)
        atomic_fetch_add_explicit(&totals[i],
                                  atomic_load_explicit(&block->counts[i], memory_order_relaxed),
                                  memory_order_relaxed);
    list_remove(&block->link);
    pthread_mutex_unlock(&mutex);
    free(block);
}

static void make_key(void)
{
    has_key = pthread_key_create(&at_thread_end, fold_block) == 0;
}

/* NULL: out of memory; the caller counts in the totals. */
static struct block *own_block(void)
{
    if (own != NULL)
        return own;
    pthread_once(&once, make_key);
    if (!has_key)
        return NULL;
    struct block *block = aligned_alloc(64, (sizeof *block + 63) & ~(size_t)63);
    if (block == NULL)
        return NULL;
    for (size_t i = 0; i < WORDS; i++)
        atomic_init(&block->counts[i], 0);
    if (pthread_setspecific(at_thread_end, block) != 0) {
        free(block);
        return NULL;
    }
    pthread_mutex_lock(&mutex);
    list_append(&blocks, &block->link);
    pthread_mutex_unlock(&mutex);
    own = block;
    return block;
}

static void add_to_word(size_t word, uint64_t n)
{
    struct block *block = own_block();
    if (block == NULL) {
        atomic_fetch_add_explicit(&totals[word], n, memory_order_relaxed);
        return;
    }
    /* This thread is the only writer, so no locked instruction is needed. */
    uint64_t count = atomic_load_explicit(&block->counts[word], memory_order_relaxed);
    atomic_store_explicit(&block->counts[word], count + n, memory_order_relaxed);
}

void metrics_add(enum metric metric, uint64_t n)
{
    assert(!rows[metric].is_gauge);
    add_to_word(metric, n);
}

void metrics_observe_ms(enum histogram histogram, int64_t ms)
{
    size_t first = METRIC_COUNT + (size_t)histogram * HISTOGRAM_WORDS;
    size_t i = 0;
    if (ms < 0)
        ms = 0; /* the wall clock was set back */
    while (ms > bounds[i].ms)
        i++;
    add_to_word(first + i, 1);
    add_to_word(first + BOUNDS, (uint64_t)ms);
}

void metrics_set(enum metric gauge, int64_t value)
{
    assert(rows[gauge].is_gauge);
    atomic_store_explicit(&gauges[gauge], value, memory_order_relaxed);
}

void metrics_gauge_add(enum metric gauge, int64_t delta)
{
    assert(rows[gauge].is_gauge);
    atomic_fetch_add_explicit(&gauges[gauge], delta, memory_order_relaxed);
}

static uint64_t sum_of(size_t word)
{
    pthread_mutex_lock(&mutex);
    uint64_t sum = atomic_load_explicit(&totals[word], memory_order_relaxed);
    LIST_FOR_EACH(link, &blocks)
    {
        struct block *block = CONTAINER_OF(link, struct block, link);
        sum += atomic_load_explicit(&block->counts[word], memory_order_relaxed);
    }
    pthread_mutex_unlock(&mutex);
    return sum;
}

int64_t metrics_read(enum metric metric)
{
    if (rows[metric].is_gauge)
        return atomic_load_explicit(&gauges[metric], memory_order_relaxed);
    return (int64_t)sum_of(metric);
}

/* "NAME_sum{LABELS} ", or without the braces where there are no labels. */
static enum err print_part(struct buf *out, size_t histogram, const char *part)
{
    const char *labels = histograms[histogram].labels;
    bool has_labels = labels[0] != '\0';
    return buf_printf(out, "%s_%s%s%s%s ", histograms[histogram].name, part, has_labels ? "{" : "",
                      labels, has_labels ? "}" : "");
}

static enum err print_buckets(struct buf *out, size_t histogram, uint64_t *ret_count)
{
    const char *labels = histograms[histogram].labels;
    size_t first = METRIC_COUNT + histogram * HISTOGRAM_WORDS;
    enum err error = ERR_OK;
    *ret_count = 0;
    for (size_t i = 0; i < BOUNDS && error == ERR_OK; i++) {
        *ret_count += sum_of(first + i);
        error =
            buf_printf(out, "%s_bucket{%s%sle=\"%s\"} %" PRIu64 "\n", histograms[histogram].name,
                       labels, labels[0] != '\0' ? "," : "", bounds[i].le, *ret_count);
    }
    return error;
}

static enum err print_histogram(struct buf *out, size_t histogram)
{
    const char *name = histograms[histogram].name;
    uint64_t count = 0;
    enum err error = ERR_OK;
    if (histogram == 0 || strcmp(name, histograms[histogram - 1].name) != 0)
        error = buf_printf(out, "# HELP %s %s\n# TYPE %s histogram\n", name,
                           histograms[histogram].help, name);
    if (error == ERR_OK)
        error = print_buckets(out, histogram, &count);
    uint64_t sum_ms = sum_of(METRIC_COUNT + histogram * HISTOGRAM_WORDS + BOUNDS);
    if (error == ERR_OK)
        error = print_part(out, histogram, "sum");
    if (error == ERR_OK)
        error = buf_printf(out, "%" PRIu64 ".%03u\n", sum_ms / 1000, (unsigned)(sum_ms % 1000));
    if (error == ERR_OK)
        error = print_part(out, histogram, "count");
    return error != ERR_OK ? error : buf_printf(out, "%" PRIu64 "\n", count);
}

void metrics_add_source(struct metrics_source *source)
{
    pthread_mutex_lock(&sources_mutex);
    source->next = sources;
    sources = source;
    pthread_mutex_unlock(&sources_mutex);
}

void metrics_remove_source(struct metrics_source *source)
{
    pthread_mutex_lock(&sources_mutex);
    struct metrics_source **at = &sources;
    while (*at != NULL && *at != source)
        at = &(*at)->next;
    if (*at != NULL)
        *at = source->next;
    pthread_mutex_unlock(&sources_mutex);
}

enum err metrics_print_line(struct buf *out, enum metric_family family, const char *labels,
                            int64_t value)
{
    return buf_printf(out, "%s{%s} %" PRId64 "\n", families[family].name, labels, value);
}

static enum err print_families(struct buf *out)
{
    enum err error = ERR_OK;
    pthread_mutex_lock(&sources_mutex);
    for (size_t i = 0; i < FAMILY_COUNT && error == ERR_OK; i++) {
        error = buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", families[i].name, families[i].help,
                           families[i].name, families[i].type);
        for (struct metrics_source *source = sources; source != NULL && error == ERR_OK;
             source = source->next)
            error = source->print(source, (enum metric_family)i, out);
    }
    pthread_mutex_unlock(&sources_mutex);
    return error;
}

enum err metrics_print(struct buf *out)
{
    for (size_t i = 0; i < METRIC_COUNT; i++) {
        enum err error = ERR_OK;
        if (i == 0 || strcmp(rows[i].name, rows[i - 1].name) != 0)
            error = buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", rows[i].name, rows[i].help,
                               rows[i].name, rows[i].is_gauge ? "gauge" : "counter");
        if (error != ERR_OK)
            return error;
        bool has_labels = rows[i].labels[0] != '\0';
        error = buf_printf(out, "%s%s%s%s %" PRId64 "\n", rows[i].name, has_labels ? "{" : "",
                           rows[i].labels, has_labels ? "}" : "", metrics_read((enum metric)i));
        if (error != ERR_OK)
            return error;
    }
    for (size_t i = 0; i < HISTOGRAM_COUNT; i++) {
        enum err error = print_histogram(out, i);
        if (error != ERR_OK)
            return error;
    }
    return print_families(out);
}
