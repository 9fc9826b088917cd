#include "gateway/base/clock.h"

#include <time.h>

static int64_t (*replaced_wall_ms)(
    void); /* NULL: the real time; written while no other thread runs */
static int64_t (*replaced_monotonic_us)(void);

void clock_replace(int64_t (*wall_ms)(void), int64_t (*monotonic_us)(void))
{
    replaced_wall_ms = wall_ms;
    replaced_monotonic_us = monotonic_us;
}

static struct timespec read_clock(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t); /* cannot fail for these clocks */
    return t;
}

int64_t clock_wall_ms(void)
{
    if (replaced_wall_ms != NULL)
        return replaced_wall_ms();
    struct timespec t = read_clock(CLOCK_REALTIME);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t clock_monotonic_ms(void)
{
    return clock_monotonic_us() / 1000;
}

int64_t clock_monotonic_us(void)
{
    if (replaced_monotonic_us != NULL)
        return replaced_monotonic_us();
    struct timespec t = read_clock(CLOCK_MONOTONIC);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t clock_thread_us(void)
{
    if (replaced_monotonic_us != NULL)
        return replaced_monotonic_us();
    struct timespec t = read_clock(CLOCK_THREAD_CPUTIME_ID);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}
