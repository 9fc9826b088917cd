/* A token bucket that many threads take from: per_second tokens a second, at most as many at once.
 * Whose thread asks makes no difference, so what is served by several workers is limited as a
 * whole, and none of them has a share that it could leave unused. A zeroed bucket is full. */
#ifndef HERALD_BASE_SHARED_RATE_H
#define HERALD_BASE_SHARED_RATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct shared_rate {
    atomic_int_fast64_t full_us; /* monotonic; as in rate.h */
};

/* Takes one token; false: there is none. per_second is from 1 to 10^6, and may be another each
 * time. */
static inline bool shared_rate_take(struct shared_rate *rate, int64_t now_us, int64_t per_second)
{
    int_fast64_t before_us = atomic_load_explicit(&rate->full_us, memory_order_relaxed);
    int64_t full_us;
    do {
        full_us = (before_us > now_us ? before_us : now_us) + 1000000 / per_second;
        if (full_us - now_us > 1000000)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&rate->full_us, &before_us, full_us,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

/* Puts one back that was taken and not needed. */
static inline void shared_rate_put_back(struct shared_rate *rate, int64_t per_second)
{
    atomic_fetch_sub_explicit(&rate->full_us, 1000000 / per_second, memory_order_relaxed);
}

#endif
