/* A clock that stands still, for tests of what takes time: add to fake_us, and it has passed. */
#ifndef HERALD_TESTS_FAKE_CLOCK_H
#define HERALD_TESTS_FAKE_CLOCK_H

#include "gateway/base/clock.h"

#include <stddef.h>

static int64_t fake_us; /* monotonic */

static inline int64_t fake_wall_ms(void)
{
    return 0;
}

static inline int64_t fake_monotonic_us(void)
{
    return fake_us;
}

static inline void stop_the_clock(void)
{
    fake_us = 5000000;
    clock_replace(fake_wall_ms, fake_monotonic_us);
}

static inline void let_the_clock_go(void)
{
    clock_replace(NULL, NULL);
}

#endif
