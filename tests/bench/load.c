/* Runs one measurement and prints one line of JSON.
 *
 * idle    connects all subscribers and holds them
 * push    pushes to random users who are connected: closed loop, or --rate a second
 * lines   the same, in requests of --lines lines (NDJSON)
 * fanout  pushes to all subscribers in one request, one request at a time
 * flush   stores --per-user pushes for every user, then connects them all
 * ping    subscribers of herald.v1 send its pings: closed loop, or --rate a second
 *
 * SIGTERM ends the measured window. The process ends by itself: each phase is bounded, and an alarm
 * bounds them all. Exit 0: the line is complete, whatever it says; 2: no line. */
#include "load.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define CONNECTS_AT_ONCE 128
#define LIMIT_SECONDS    240 /* the whole run */
#define EVENTS_AT_ONCE   256
#define LOOK_NS          1000000 /* how often frames of a fan-out are looked for */

static struct result result;
static int epoll_fd;
static volatile sig_atomic_t is_stopped;

uint64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * SECOND + (uint64_t)time.tv_nsec;
}

void die(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, list);
    fputc('\n', stderr);
    va_end(list);
    exit(2);
}

void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    if (!memory)
        die("out of memory");
    return memory;
}

void watch(int op, int fd, uint32_t events, uint32_t tag, uint32_t index)
{
    struct epoll_event event = {.events = events, .data.u64 = (uint64_t)tag << 32 | index};
    if (epoll_ctl(epoll_fd, op, fd, &event) != 0)
        die("epoll_ctl: %s", strerror(errno));
}

uint64_t owed(void)
{
    if (options.mode == MODE_PING)
        return pings.sent;
    return http.accepted * (options.mode == MODE_FANOUT ? (uint64_t)options.subscribers : 1);
}

/* --- the loop --- */

/* Who sends to a socket whose reader sleeps pays for waking it. A server that is slower than the
 * generator would pay for each of the frames of a fan-out, and a faster one for none. So the
 * generator sleeps where no frame wakes it. */
static int look(struct epoll_event *events)
{
    static const struct timespec pause = {0, LOOK_NS};
    int count = epoll_wait(epoll_fd, events, EVENTS_AT_ONCE, 0);
    if (count == 0)
        nanosleep(&pause, NULL);
    return count;
}

static int wait_until(uint64_t until, struct epoll_event *events)
{
    uint64_t now = now_ns();
    if (options.mode == MODE_FANOUT)
        return look(events);
    until = plan_due(until);
    uint64_t wait = until > now ? until - now : 0;
    struct timespec timeout = {(time_t)(wait / SECOND), (long)(wait % SECOND)};
    int count = epoll_pwait2(epoll_fd, events, EVENTS_AT_ONCE, &timeout, NULL);
    if (count < 0 && errno != EINTR)
        die("epoll_pwait2: %s", strerror(errno));
    return count;
}

static void do_more(void)
{
    if (options.mode == MODE_PING)
        ping_more();
    else
        http_publish();
}

static void turn(uint64_t until)
{
    static struct epoll_event events[EVENTS_AT_ONCE];
    int count = wait_until(until, events);
    for (int i = 0; i < count; i++) {
        uint32_t index = (uint32_t)events[i].data.u64;
        if (events[i].data.u64 >> 32 == TAG_PUBLISHER) {
            http_event(index, events[i].events);
            http_publish();
        } else {
            ws_event(index);
            if (options.rate > 0 && i % 16 == 15)
                do_more(); /* a long turn must not make it late */
        }
    }
    do_more();
}

static void hold(uint64_t time_ns)
{
    uint64_t end = now_ns() + time_ns;
    while (now_ns() < end)
        turn(end);
}

static void hold_ms(long ms)
{
    hold((uint64_t)ms * 1000000);
}

static void connect_all(void)
{
    uint64_t start = now_ns(), end = start + 60 * SECOND;
    double cpu = proc_cpu_seconds((int)options.pid);
    while (ws.open + ws.closed < (uint64_t)options.subscribers) {
        ws_connect_more(CONNECTS_AT_ONCE);
        turn(now_ns() + SECOND / 50);
        if (now_ns() > end)
            die("%u of %ld subscribers connected in a minute", ws.open, options.subscribers);
    }
    result.connect_seconds = (double)(now_ns() - start) / SECOND;
    result.connect_cpu = proc_cpu_seconds((int)options.pid) - cpu;
}

/* Until all that was due is sent, and all that was accepted has come, or nothing came for three
 * seconds; then a little for late repeats. */
static void drain(void)
{
    uint64_t quiet_since = now_ns(), received = tally.received;
    plan_stop();
    while ((plan_is_late() || tally.received < owed() || http.accepted + http.failed < http.sent) &&
           now_ns() - quiet_since < 3 * SECOND) {
        turn(now_ns() + SECOND / 50);
        if (tally.received != received)
            quiet_since = now_ns();
        received = tally.received;
    }
    hold(SECOND / 2);
}

/* --- what happens when --- */

static void on_stop(int signal)
{
    (void)signal;
    is_stopped = 1;
}

static void start_publishers(void)
{
    http_init();
    for (uint64_t end = now_ns() + 10 * SECOND; http.idle < (uint32_t)options.publishers;) {
        turn(now_ns() + SECOND / 50);
        if (now_ns() > end)
            die("only %u publishers connected in ten seconds", http.idle);
    }
    hold(SECOND / 10);
}

static void measure_window(void)
{
    result.from = usage_now();
    tally.from_ns = result.from.at_ns;
    for (uint64_t end = now_ns() + (uint64_t)options.window_ms * 1000000;
         now_ns() < end && !is_stopped;)
        turn(end);
    result.to = usage_now();
    tally.to_ns = result.to.at_ns;
}

static void measure_work(void)
{
    if (options.mode == MODE_PING)
        ping_init();
    else
        start_publishers();
    plan_start();
    hold_ms(options.warmup_ms);
    measure_window();
    drain();
}

static void measure_flush(void)
{
    uint64_t total = (uint64_t)options.subscribers * (uint64_t)options.per_user;
    start_publishers();
    uint64_t start = now_ns(), end = start + 60 * SECOND;
    plan_start();
    while (http.accepted + http.failed < total && now_ns() < end)
        turn(now_ns() + SECOND / 50);
    plan_stop();
    result.store_seconds = (double)(now_ns() - start) / SECOND;
    hold_ms(options.settle_ms);
    result.from = usage_now();
    start = now_ns();
    connect_all();
    drain();
    result.to = usage_now();
    result.flush_seconds = tally.last_ns > start ? (double)(tally.last_ns - start) / SECOND : 0;
    tally.window_received = tally.received;
}

static void measure(void)
{
    result.before = proc_memory((int)options.pid);
    if (options.mode == MODE_FLUSH) {
        measure_flush();
        return;
    }
    connect_all();
    hold_ms(options.settle_ms);
    result.after = proc_memory((int)options.pid);
    if (options.mode == MODE_IDLE)
        measure_window();
    else
        measure_work();
}

static void on_alarm(int signal)
{
    static const char text[] = "load: the run took too long\n";
    (void)signal;
    _exit(write(STDERR_FILENO, text, sizeof text - 1) < 0 ? 3 : 2);
}

int main(int count, char **words)
{
    struct rlimit limit;
    options_take(count, words);
    signal(SIGALRM, on_alarm);
    signal(SIGTERM, on_stop);
    signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
    alarm(LIMIT_SECONDS);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_TIMERSLACK, 1000ul);
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if ((rlim_t)(options.subscribers + options.publishers + 16) > limit.rlim_cur)
        die("%ld subscribers need more than %lu open files (ulimit -n)", options.subscribers,
            (unsigned long)limit.rlim_cur);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    tally_init();
    ws_init();
    measure();
    result_print(&result);
    return 0;
}
