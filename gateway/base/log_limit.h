/* Limits the log lines that clients can cause. Every line at info or above that is caused by
 * received data goes through a limit. A line of one key is written at most once in the limit's
 * interval, and at most LOG_LIMIT_KEYS keys have a line in one interval, so that invented keys
 * cannot flood the log either. Suppressed lines are counted (herald_log_lines_dropped_total) and
 * reported by the next line that is written: `suppressed` counts those of its own key, `others`
 * those of keys that had no slot, or lost it after their interval.
 *
 * A limit is a static object beside the line that it limits:
 *
 *     static struct log_limit origins = LOG_LIMIT(60 * 1000);
 *
 *     log_limited(&origins, origin, LOG_INFO, "origin refused", LOG_SPAN("origin", origin),
 *                 LOG_TEXT("address", address));
 *
 * Two lines with the same key say the same to a reader: the key is the origin, or the check that
 * failed. If one line stands for all, the key is a constant: span_of("any"). A key may be received
 * bytes of any length.
 *
 * Any thread. A suppressed line costs a hash and a short lock, so no caller needs to check first; a
 * line below the log level costs nothing and is not counted. */
#ifndef HERALD_BASE_LOG_LIMIT_H
#define HERALD_BASE_LOG_LIMIT_H

#include "gateway/base/log.h"

#include <pthread.h>

enum { LOG_LIMIT_KEYS = 32, LOG_LIMITED_FIELDS_MAX = 14 };

struct log_limit {
    int64_t interval_ms;
    pthread_mutex_t mutex; /* the members below */
    uint64_t others;
    struct {
        bool is_used;
        uint64_t key;       /* its hash */
        int64_t written_ms; /* monotonic */
        uint64_t suppressed;
    } slots[LOG_LIMIT_KEYS];
};

#define LOG_LIMIT(milliseconds)                                                                    \
    {                                                                                              \
        .interval_ms = (milliseconds), .mutex = PTHREAD_MUTEX_INITIALIZER                          \
    }

/* Takes 1 to LOG_LIMITED_FIELDS_MAX fields. */
#define log_limited(limit, key, level, event, ...)                                                 \
    log_fields_limited((limit), (key), (level), (event), (struct log_field[]){__VA_ARGS__},        \
                       sizeof((struct log_field[]){__VA_ARGS__}) / sizeof(struct log_field))
void log_fields_limited(struct log_limit *limit, struct span key, enum log_level level,
                        const char *event, const struct log_field *fields, size_t n);

#endif
