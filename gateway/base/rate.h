/* A token bucket, kept as the one moment at which it is full again; all zero is a full one. So many
 * a second, and `burst` at once. Not thread-safe. */
#ifndef HERALD_BASE_RATE_H
#define HERALD_BASE_RATE_H

#include <stdbool.h>
#include <stdint.h>

struct rate {
    int64_t full_us; /* monotonic */
};

/* Takes n; false: there are not so many, and none is taken. per_second > 0; n and burst at most
 * 2^40. */
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
