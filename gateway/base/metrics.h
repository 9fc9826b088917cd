/* Counters, gauges and histograms, one row each in metrics.def. Each thread counts in its own
 * block, and a scrape sums the blocks, so counting is one relaxed addition without contention. Any
 * thread. */
#ifndef HERALD_BASE_METRICS_H
#define HERALD_BASE_METRICS_H

#include "proto/bytes/buf.h"

#include <stdint.h>

enum metric {
#define HISTOGRAM(name, prometheus, labels, help)
#define COUNTER(name, prometheus, labels, help) METRIC_##name,
#define GAUGE(name, prometheus, labels, help)   METRIC_##name,
#include "gateway/base/metrics.def"
#undef COUNTER
#undef GAUGE
    METRIC_COUNT
};
#undef HISTOGRAM

enum histogram {
#define HISTOGRAM(name, prometheus, labels, help) HISTOGRAM_##name,
#define COUNTER(name, prometheus, labels, help)
#define GAUGE(name, prometheus, labels, help)
#include "gateway/base/metrics.def"
#undef HISTOGRAM
#undef COUNTER
#undef GAUGE
    HISTOGRAM_COUNT
};

void metrics_add(enum metric metric, uint64_t n);
static inline void metrics_count(enum metric metric)
{
    metrics_add(metric, 1);
}

void metrics_set(enum metric gauge, int64_t value);       /* gauges only */
void metrics_gauge_add(enum metric gauge, int64_t delta); /* gauges only */

/* Families whose labels are known at run time only. */
enum metric_family {
#define COUNTER(name, prometheus, labels, help)
#define GAUGE(name, prometheus, labels, help)
#define HISTOGRAM(name, prometheus, labels, help)
#define FAMILY(name, prometheus, type, help) FAMILY_##name,
#include "gateway/base/metrics.def"
#undef COUNTER
#undef GAUGE
#undef HISTOGRAM
    FAMILY_COUNT
};

/* Who has lines of such families. `print` appends those of one family with metrics_print_line, or
 * nothing; it runs on any thread, under a lock, and must not block or call metrics_add_source. */
struct metrics_source {
    enum err (*print)(struct metrics_source *source, enum metric_family family, struct buf *out);
    struct metrics_source *next; /* of metrics.c */
};
void metrics_add_source(struct metrics_source *source);
void metrics_remove_source(struct metrics_source *source); /* one that was added, or does nothing */

/* Appends `NAME{LABELS} VALUE`. */
MUST_CHECK enum err metrics_print_line(struct buf *out, enum metric_family family,
                                       const char *labels, int64_t value);

/* Adds a duration; the buckets go from 1 ms to 60 s and above. */
void metrics_observe_ms(enum histogram histogram, int64_t ms);

/* The sum over all threads, including those that have ended. */
int64_t metrics_read(enum metric metric);

/* Appends all metrics in Prometheus' text exposition format 0.0.4. */
MUST_CHECK enum err metrics_print(struct buf *out);

#endif
