/* Loaded in front of libc (clock.js): the time of day is CLOCK_AHEAD_MS ahead; monotonic clocks are
 * left alone. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static long long ahead_ms(void)
{
    const char *text = getenv("CLOCK_AHEAD_MS");
    return text == NULL ? 0 : strtoll(text, NULL, 10);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    static int (*real_one)(clockid_t, struct timespec *);
    if (real_one == NULL)
        *(void **)&real_one = dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real_one(clock, now);
    if (failed != 0 || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE))
        return failed;
    long long nanoseconds = now->tv_nsec + ahead_ms() % 1000 * 1000000;
    now->tv_sec += ahead_ms() / 1000 + nanoseconds / 1000000000 - (nanoseconds < 0);
    now->tv_nsec = (nanoseconds + 1000000000) % 1000000000;
    return 0;
}

time_t time(time_t *also)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (also != NULL)
        *also = now.tv_sec;
    return now.tv_sec;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    (void)zone;
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return 0;
}
