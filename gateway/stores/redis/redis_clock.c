#include "gateway/stores/redis/redis_clock.h"

#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/base/metrics.h"

enum { SAID_MS = 1000 }; /* a difference that changes by more than this is news */

static const int64_t unknown_ms = INT64_MIN;

void redis_clock_init(struct redis_clock *clock, const char *shown)
{
    clock->shown = shown;
    pthread_mutex_init(&clock->lock, NULL);
    clock->first = NULL;
    atomic_init(&clock->next, NULL);
    atomic_init(&clock->offset_ms, unknown_ms);
    clock->told_ms = unknown_ms;
    clock->largest_ms = unknown_ms;
    clock->said_ms = 0;
}

void redis_clock_fini(struct redis_clock *clock)
{
    pthread_mutex_destroy(&clock->lock);
}

void redis_clock_join(struct redis_clock *clock, struct redis_clock *first)
{
    clock->first = first;
    atomic_store(&clock->next, atomic_load(&first->next));
    atomic_store(&first->next, clock);
}

void redis_clock_guess(struct redis_clock *clock, const struct redis_clock *like)
{
    int64_t unknown = unknown_ms;
    atomic_compare_exchange_strong(&clock->offset_ms, &unknown, atomic_load(&like->offset_ms));
}

static int64_t ahead_of_wall(const struct redis_clock *clock)
{
    return redis_clock_now_ms(clock) - clock_wall_ms();
}

static void show_furthest(const struct redis_clock *clock)
{
    int64_t furthest_ms = ahead_of_wall(clock);
    for (const struct redis_clock *other = clock->first; other != NULL;
         other = atomic_load(&other->next)) {
        int64_t ahead_ms = ahead_of_wall(other);
        if ((ahead_ms < 0 ? -ahead_ms : ahead_ms) > (furthest_ms < 0 ? -furthest_ms : furthest_ms))
            furthest_ms = ahead_ms;
    }
    metrics_set(METRIC_CLOCK_OFFSET, (furthest_ms + (furthest_ms < 0 ? -500 : 500)) / 1000);
}

/* How far the wall clock of this machine is from Redis's; says so when that has changed. */
static void compare_with_wall(struct redis_clock *clock)
{
    int64_t ahead_ms = ahead_of_wall(clock);
    show_furthest(clock);
    pthread_mutex_lock(&clock->lock);
    int64_t changed_ms = ahead_ms - clock->said_ms;
    int is_news = changed_ms > SAID_MS || changed_ms < -SAID_MS;
    if (is_news)
        clock->said_ms = ahead_ms;
    pthread_mutex_unlock(&clock->lock);
    if (is_news)
        log_event(LOG_WARN, "the clock differs from Redis's", LOG_TEXT("address", clock->shown),
                  LOG_INT("redis_ahead_ms", ahead_ms),
                  LOG_TEXT("advice", "what expires goes by Redis's clock; set both by NTP"));
}

void redis_clock_set(struct redis_clock *clock, int64_t time_ms, int64_t asked_ms, int64_t now_ms)
{
    int64_t heard_ms = time_ms - now_ms;
    int64_t on_its_way_ms = now_ms - asked_ms;
    pthread_mutex_lock(&clock->lock);
    int64_t known_ms = atomic_load(&clock->offset_ms);
    int64_t best_ms = heard_ms > clock->largest_ms ? heard_ms : clock->largest_ms;
    if (known_ms == unknown_ms || heard_ms < best_ms - on_its_way_ms - REDIS_CLOCK_SLACK_MS)
        best_ms = heard_ms;
    atomic_store(&clock->offset_ms, best_ms);
    clock->told_ms = heard_ms;
    clock->largest_ms = heard_ms;
    pthread_mutex_unlock(&clock->lock);
    compare_with_wall(clock);
}

bool redis_clock_hear(struct redis_clock *clock, int64_t time_ms, int64_t now_ms)
{
    int64_t heard_ms = time_ms - now_ms;
    pthread_mutex_lock(&clock->lock);
    bool is_believed =
        clock->told_ms == unknown_ms || heard_ms <= clock->told_ms + REDIS_CLOCK_AHEAD_MS;
    if (is_believed && heard_ms > clock->largest_ms)
        clock->largest_ms = heard_ms;
    if (is_believed && heard_ms > atomic_load(&clock->offset_ms))
        atomic_store(&clock->offset_ms, heard_ms);
    pthread_mutex_unlock(&clock->lock);
    return is_believed;
}

int64_t redis_clock_now_ms(const struct redis_clock *clock)
{
    int64_t offset_ms = atomic_load_explicit(&clock->offset_ms, memory_order_relaxed);
    return offset_ms == unknown_ms ? clock_wall_ms() : clock_monotonic_ms() + offset_ms;
}
