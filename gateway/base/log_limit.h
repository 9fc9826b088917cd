/* Lines that strangers can cause. Whatever is logged at info or above because of what somebody sent
 * goes through a limit: a line of one key is written at most once in the limit's interval, and at
 * most LOG_LIMIT_KEYS keys have a line in one interval, so that who makes up new keys floods
 * nothing either. What is held back is counted (herald_log_lines_dropped_total) and told by the
 * next line that is written: `suppressed` of its own key, `others` of keys that had no line, or had
 * theirs long ago.
 *
 * A limit is a static object beside the line that it limits:
 *
 *     static struct log_limit origins = LOG_LIMIT(60 * 1000);
 *
 *     log_limited(&origins, origin, LOG_INFO, "origin refused", LOG_SPAN("origin", origin),
 *                 LOG_TEXT("address", address));
 *
 * The key is what makes two lines the same to a reader: the origin, the check that failed. With one
 * line for all, it is a constant: span_of("any"). Bytes of a stranger are fine, of any length.
 *
 * Any thread. A line that is held back costs a hash and a short lock, so no caller needs to look
 * first; one below the level costs nothing and is not counted. */
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
        uint64_t key;    /* its hash */
        int64_t said_ms; /* monotonic */
        uint64_t suppressed;
    } slots[LOG_LIMIT_KEYS];
};

#define LOG_LIMIT(milliseconds)                                                                    \
    {                                                                                              \
        .interval_ms = (milliseconds), .mutex = PTHREAD_MUTEX_INITIALIZER                          \
    }

/* One field at least and LOG_LIMITED_FIELDS_MAX at most. */
#define log_limited(limit, key, level, event, ...)                                                 \
    log_fields_limited((limit), (key), (level), (event), (struct log_field[]){__VA_ARGS__},        \
                       sizeof((struct log_field[]){__VA_ARGS__}) / sizeof(struct log_field))
void log_fields_limited(struct log_limit *limit, struct span key, enum log_level level,
                        const char *event, const struct log_field *fields, size_t n);

#endif
