/* A token bucket: per_second tokens a second, at most `burst` of them at once. Its whole state is
 * the time at which it will be full again; a zeroed bucket is full. Not thread-safe. */
#ifndef HERALD_BASE_RATE_H
#define HERALD_BASE_RATE_H

#include <stdbool.h>
#include <stdint.h>

struct rate {
    int64_t full_us; /* monotonic */
};

/* Takes n tokens; false: there are fewer, and none is taken. per_second > 0; n and burst are at
 * most 2^40. */
static inline bool rate_take(struct rate *rate, int64_t now_us, int64_t per_second, int64_t burst,
                             int64_t n)
{
    int64_t full_us = rate->full_us > now_us ? rate->full_us : now_us;
    full_us += n * 1000000 / per_second;
    if (full_us - now_us > burst * 1000000 / per_second)
        return false;
    rate->full_us = full_us;
    return true;
}

#endif
