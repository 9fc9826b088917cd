/* The clock of a Redis, as this node knows it: times in the store are compared with it, so
 * that the node's own clock may be wrong. It is kept as Redis's time less the node's monotonic
 * clock.
 *
 * A time of Redis's is older when it arrives, by as long as it was on its way, so the largest
 * difference is the best one. It counts until the TIME after the next, so that a clock that runs
 * slower is followed; one that was set back, to more than REDIS_CLOCK_SLACK_MS below what its way
 * explains, is believed at once. A message that is further ahead of the last TIME than
 * REDIS_CLOCK_AHEAD_MS is not believed, because whoever may publish there could have everything
 * expire: TIME decides. Any thread. */
#ifndef HERALD_STORE_REDIS_CLOCK_H
#define HERALD_STORE_REDIS_CLOCK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { REDIS_CLOCK_SLACK_MS = 100, REDIS_CLOCK_AHEAD_MS = 1000 };

struct redis_clock {
    const char *shown;
    struct redis_clock *first; /* of all clocks of the store; NULL: it is alone */
    _Atomic(struct redis_clock *) next;
    pthread_mutex_t lock;      /* for changes */
    _Atomic int64_t offset_ms; /* INT64_MIN: not known */
    int64_t told_ms;           /* by the last TIME; INT64_MIN: none was answered */
    int64_t largest_ms;        /* since the last TIME */
    int64_t said_ms;           /* what the log knows of this node's wall clock */
};

/* `shown` is the address of the Redis, for the log; stays. */
void redis_clock_init(struct redis_clock *clock, const char *shown);
void redis_clock_fini(struct redis_clock *clock);

/* One more clock of the store whose first one this is, until all of them end. One thread at a time.
 * herald_clock_offset_seconds is that of the clock that is furthest from this machine's. */
void redis_clock_join(struct redis_clock *clock, struct redis_clock *first);

/* Until its own time is known, what `like` says is the best there is. */
void redis_clock_guess(struct redis_clock *clock, const struct redis_clock *like);

/* TIME was answered at now_ms, and had been asked at asked_ms (both of the monotonic clock). */
void redis_clock_set(struct redis_clock *clock, int64_t time_ms, int64_t asked_ms, int64_t now_ms);

/* A script has put its time into a message that came at now_ms. false: TIME is to be asked. */
bool redis_clock_hear(struct redis_clock *clock, int64_t time_ms, int64_t now_ms);

/* Redis's time in ms since 1970; this machine's until the first is known. */
int64_t redis_clock_now_ms(const struct redis_clock *clock);

#endif
