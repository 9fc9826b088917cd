/* The clocks of this machine from the start of a test program on, which a test moves: add to
 * skipped_us, and so much more of the monotonic clock has passed; with stopped_us it stands still,
 * and set_wall_ms is what the wall clock says. Any thread may read them meanwhile. */
#ifndef HERALD_TESTS_SKIPPED_CLOCK_H
#define HERALD_TESTS_SKIPPED_CLOCK_H

#include "gateway/base/clock.h"

#include <stdatomic.h>
#include <stdint.h>
#include <time.h>

static _Atomic int64_t set_wall_ms; /* 0: that of the machine */
static _Atomic int64_t stopped_us;  /* where the monotonic clock stands still; 0: it runs */
static _Atomic int64_t skipped_us;

static int64_t read_wall_ms(void)
{
    int64_t set_ms = atomic_load(&set_wall_ms);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return set_ms != 0 ? set_ms : (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t read_monotonic_us(void)
{
    struct timespec now;
    int64_t at_us = atomic_load(&stopped_us);
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t running_us = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
    return at_us != 0 ? at_us : running_us + atomic_load(&skipped_us);
}

/* From now on no time passes, so that nothing is given up for being late on a slow machine: what
 * was to wait for a time would wait for ever. */
__attribute__((unused)) static void stop_time(void)
{
    atomic_store(&stopped_us, read_monotonic_us());
}

/* And goes on from where it stood. */
__attribute__((unused)) static void let_time_go(void)
{
    int64_t at_us = atomic_exchange(&stopped_us, 0);
    atomic_fetch_add(&skipped_us, at_us - read_monotonic_us());
}

__attribute__((constructor)) static void take_the_clock(void)
{
    clock_replace(read_wall_ms, read_monotonic_us);
}

#endif
