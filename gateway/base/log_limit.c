#include "gateway/base/log_limit.h"

#include "gateway/base/clock.h"
#include "gateway/base/hash.h"
#include "gateway/base/metrics.h"

#include <assert.h>

/* The slot of the key, or else one that is free or whose interval is over; -1: none. */
static int find_slot(const struct log_limit *limit, uint64_t key, int64_t now_ms)
{
    int free_slot = -1;
    for (int i = 0; i < LOG_LIMIT_KEYS; i++) {
        if (limit->slots[i].is_used && limit->slots[i].key == key)
            return i;
        if (free_slot < 0 &&
            (!limit->slots[i].is_used || now_ms - limit->slots[i].written_ms >= limit->interval_ms))
            free_slot = i;
    }
    return free_slot;
}

/* May the line be written now? If so, it must report the counts of suppressed lines. */
static bool take_turn(struct log_limit *limit, uint64_t key, int64_t now_ms,
                      uint64_t *ret_suppressed, uint64_t *ret_others)
{
    int i = find_slot(limit, key, now_ms);
    *ret_suppressed = 0;
    *ret_others = 0;
    if (i < 0) {
        limit->others++;
        return false;
    }
    bool is_known = limit->slots[i].is_used && limit->slots[i].key == key;
    if (is_known && now_ms - limit->slots[i].written_ms < limit->interval_ms) {
        limit->slots[i].suppressed++;
        return false;
    }
    if (is_known)
        *ret_suppressed = limit->slots[i].suppressed;
    else
        limit->others += limit->slots[i].suppressed; /* of the key whose slot is reused */
    *ret_others = limit->others;
    limit->others = 0;
    limit->slots[i].is_used = true;
    limit->slots[i].key = key;
    limit->slots[i].written_ms = now_ms;
    limit->slots[i].suppressed = 0;
    return true;
}

void log_fields_limited(struct log_limit *limit, struct span key, enum log_level level,
                        const char *event, const struct log_field *fields, size_t n)
{
    if (!log_is_enabled(level))
        return;
    struct log_field all[LOG_LIMITED_FIELDS_MAX + 2];
    uint64_t suppressed;
    uint64_t others;
    uint64_t hash = hash_bytes(key);
    int64_t now_ms = clock_monotonic_ms();
    assert(n <= LOG_LIMITED_FIELDS_MAX);

    pthread_mutex_lock(&limit->mutex);
    bool is_due = take_turn(limit, hash, now_ms, &suppressed, &others);
    pthread_mutex_unlock(&limit->mutex);
    if (!is_due) {
        metrics_count(METRIC_LOG_LIMITED);
        return;
    }
    memcpy(all, fields, n * sizeof *fields);
    if (suppressed > 0)
        all[n++] = LOG_INT("suppressed", suppressed);
    if (others > 0)
        all[n++] = LOG_INT("others", others);
    log_fields(level, event, all, n);
}
