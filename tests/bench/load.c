/* Runs one measurement and prints one line of JSON.
 *
 * idle    connects all subscribers and holds them
 * push    pushes to random users who are connected: closed loop, or --rate a second
 * fanout  pushes to all subscribers in one request
 * flush   stores --per-user pushes for every user, then connects them all
 *
 * In the open loop a push is stamped with the moment at which it was due, so that a gateway that
 * stalls the generator is charged with the wait. No user has two pushes under way, so that order is
 * defined. The process ends by itself: each phase is bounded, and an alarm bounds them all. Exit 0:
 * the line is complete, whatever it says; 2: no line. */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SECOND           1000000000ull
#define CONNECTS_AT_ONCE 128
#define ROUNDS_AT_ONCE   4   /* fan-outs that are not delivered everywhere */
#define LIMIT_SECONDS    240 /* the whole run */

enum mode { MODE_IDLE, MODE_PUSH, MODE_FANOUT, MODE_FLUSH };

static struct {
    enum mode mode;
    struct sockaddr_in ws, admin;
    long subscribers, publishers, size, per_user, rate, ttl, warmup_ms, seconds_ms, settle_ms, pid,
        redis_pid, stuck;
    enum ws_level level;
} options = {.subscribers = 1000,
             .publishers = 64,
             .size = 256,
             .per_user = 50,
             .ttl = -1,
             .warmup_ms = 1000,
             .seconds_ms = 5000,
             .settle_ms = 1000};

struct usage {
    double cpu, redis_cpu, own_cpu;
    struct proc_machine machine;
    uint64_t at_ns;
};

static struct {
    double connect_seconds, store_seconds, flush_seconds;
    struct proc_memory before, after;
    struct usage from, to;
} result;

static int epoll_fd;
static bool is_publishing;
static uint64_t due_ns, interval_ns;

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

int tcp_connect(const struct sockaddr_in *to, uint32_t source, bool *ret_done)
{
    const struct sockaddr_in from = {.sin_family = AF_INET,
                                     .sin_addr.s_addr = htonl(INADDR_LOOPBACK + source)};
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    /* The end resets the connection: no port waits for minutes to be used again. */
    struct linger linger = {.l_onoff = 1};
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger) != 0)
        die("cannot open a socket: %s", strerror(errno));
    if (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one) != 0 ||
        bind(fd, (const struct sockaddr *)&from, sizeof from) != 0)
        die("cannot bind to a loopback address: %s", strerror(errno));
    *ret_done = connect(fd, (const struct sockaddr *)to, sizeof *to) == 0;
    if (!*ret_done && errno != EINPROGRESS)
        die("cannot connect: %s", strerror(errno));
    return fd;
}

void watch(int op, int fd, uint32_t events, uint32_t tag, uint32_t index)
{
    struct epoll_event event = {.events = events, .data.u64 = (uint64_t)tag << 32 | index};
    if (epoll_ctl(epoll_fd, op, fd, &event) != 0)
        die("epoll_ctl: %s", strerror(errno));
}

/* --- what is pushed next --- */

static uint64_t random_next(void)
{
    static uint64_t state = 0x2545f4914f6cdd1d;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static bool choose_user(uint32_t *ret_user)
{
    uint64_t users = (uint64_t)(options.subscribers - options.stuck);
    if (options.mode == MODE_FLUSH) {
        *ret_user = (uint32_t)(http.sent % users);
        return http.sent < users * (uint64_t)options.per_user && !http_is_busy(*ret_user);
    }
    for (int tries = 0; tries < 100; tries++) {
        *ret_user = (uint32_t)(random_next() % users);
        if (!http_is_busy(*ret_user))
            return true;
    }
    return false;
}

static uint64_t owed(void)
{
    return http.accepted * (options.mode == MODE_FANOUT ? (uint64_t)options.subscribers : 1);
}

bool plan_next(uint64_t now, uint32_t *ret_user, uint64_t *ret_stamp)
{
    if (!is_publishing || (interval_ns > 0 && due_ns > now))
        return false;
    *ret_user = USER_ALL;
    if (options.mode == MODE_FANOUT) {
        uint64_t rounds = http.sent - tally.received / (uint64_t)options.subscribers;
        if (rounds >= ROUNDS_AT_ONCE)
            return false;
    } else if (!choose_user(ret_user)) {
        return false;
    }
    *ret_stamp = interval_ns > 0 ? due_ns : now;
    due_ns += interval_ns;
    return true;
}

/* --- the loop --- */

static void turn(uint64_t until)
{
    static struct epoll_event events[256];
    uint64_t now = now_ns();
    if (is_publishing && interval_ns > 0 && http.idle > 0 && due_ns < until)
        until = due_ns;
    uint64_t wait = until > now ? until - now : 0;
    struct timespec timeout = {(time_t)(wait / SECOND), (long)(wait % SECOND)};
    int count = epoll_pwait2(epoll_fd, events, 256, &timeout, NULL);
    if (count < 0 && errno != EINTR)
        die("epoll_pwait2: %s", strerror(errno));
    for (int i = 0; i < count; i++) {
        uint32_t index = (uint32_t)events[i].data.u64;
        if (events[i].data.u64 >> 32 == TAG_PUBLISHER) {
            http_event(index, events[i].events);
            http_publish();
        } else {
            ws_event(index);
            if (interval_ns > 0 && i % 16 == 15)
                http_publish(); /* a long turn must not make pushes late */
        }
    }
    http_publish();
}

static void hold(uint64_t time_ns)
{
    uint64_t end = now_ns() + time_ns;
    while (now_ns() < end)
        turn(end);
}

static void connect_all(void)
{
    uint64_t start = now_ns(), end = start + 60 * SECOND;
    while (ws.open + ws.closed < (uint64_t)options.subscribers) {
        ws_connect_more(CONNECTS_AT_ONCE);
        turn(now_ns() + SECOND / 50);
        if (now_ns() > end)
            die("%u of %ld subscribers connected in a minute", ws.open, options.subscribers);
    }
    result.connect_seconds = (double)(now_ns() - start) / SECOND;
}

/* Until all that was accepted has come, or nothing came for three seconds; then a little for late
 * repeats. */
static void drain(void)
{
    uint64_t quiet_since = now_ns(), received = tally.received;
    is_publishing = false;
    while ((tally.received < owed() || http.accepted + http.failed < http.sent) &&
           now_ns() - quiet_since < 3 * SECOND) {
        turn(now_ns() + SECOND / 50);
        if (tally.received != received)
            quiet_since = now_ns();
        received = tally.received;
    }
    hold(SECOND / 2);
}

static struct usage usage_now(void)
{
    struct rusage own;
    getrusage(RUSAGE_SELF, &own);
    return (struct usage){
        .cpu = proc_cpu_seconds((int)options.pid),
        .redis_cpu = proc_cpu_seconds((int)options.redis_pid),
        .own_cpu = (double)(own.ru_utime.tv_sec + own.ru_stime.tv_sec) +
                   (double)(own.ru_utime.tv_usec + own.ru_stime.tv_usec) / 1e6,
        .machine = proc_machine(),
        .at_ns = now_ns(),
    };
}

static void start_publishers(void)
{
    http_init(&options.admin, (uint32_t)options.publishers, (uint32_t)options.subscribers,
              (size_t)options.size, options.ttl, options.mode == MODE_FANOUT);
    hold(SECOND / 10);
}

static void measure_pushes(void)
{
    start_publishers();
    if (options.rate > 0)
        interval_ns = SECOND / (uint64_t)options.rate;
    due_ns = now_ns();
    is_publishing = true;
    hold((uint64_t)options.warmup_ms * 1000000);
    result.from = usage_now();
    tally.from_ns = result.from.at_ns;
    hold((uint64_t)options.seconds_ms * 1000000);
    result.to = usage_now();
    tally.to_ns = result.to.at_ns;
    drain();
}

static void measure_flush(void)
{
    uint64_t total = (uint64_t)options.subscribers * (uint64_t)options.per_user;
    start_publishers();
    uint64_t start = now_ns(), end = start + 60 * SECOND;
    is_publishing = true;
    while (http.accepted + http.failed < total && now_ns() < end)
        turn(now_ns() + SECOND / 50);
    is_publishing = false;
    result.store_seconds = (double)(now_ns() - start) / SECOND;
    hold((uint64_t)options.settle_ms * 1000000);
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
    result.from = usage_now();
    connect_all();
    result.to = usage_now();
    hold((uint64_t)options.settle_ms * 1000000);
    result.after = proc_memory((int)options.pid);
    if (options.mode != MODE_IDLE)
        measure_pushes();
}

/* --- the result --- */

static void print_number(const char *name, double value)
{
    printf(",\"%s\":%.6f", name, value);
}

static void print_latency(const char *name, const struct hist *hist)
{
    printf(",\"%s\":{\"p50\":%.1f,\"p99\":%.1f,\"p999\":%.1f,\"max\":%.1f}", name,
           hist_quantile_us(hist, 0.5), hist_quantile_us(hist, 0.99), hist_quantile_us(hist, 0.999),
           (double)hist->max / 1000);
}

static void print_result(void)
{
    double window = (double)(result.to.at_ns - result.from.at_ns) / SECOND;
    printf("{\"open\":%u,\"closed\":%lu,\"pings\":%lu", ws.open, ws.closed, ws.pings);
    printf(",\"accepted\":%lu,\"failed\":%lu,\"firstFailure\":\"%s\"", http.accepted, http.failed,
           http.first_failure);
    printf(",\"received\":%lu,\"lost\":%ld,\"duplicated\":%lu", tally.received,
           (long)(owed() - tally.received), tally.duplicated);
    printf(",\"disordered\":%lu,\"misrouted\":%lu,\"damaged\":%lu", tally.disordered,
           tally.misrouted, tally.damaged);
    printf(",\"windowReceived\":%lu,\"windowAccepted\":%lu", tally.window_received,
           http.window_accepted);
    print_number("casts", (double)tally.window_casts / window);
    print_number("window", window);
    print_number("connectSeconds", result.connect_seconds);
    print_number("storeSeconds", result.store_seconds);
    print_number("flushSeconds", result.flush_seconds);
    print_number("rssKib", (double)(result.after.rss_kib - result.before.rss_kib));
    print_number("dirtyKib", (double)(result.after.dirty_kib - result.before.dirty_kib));
    print_number("cpu", result.to.cpu - result.from.cpu);
    print_number("redisCpu", result.to.redis_cpu - result.from.redis_cpu);
    print_number("ownCpu", result.to.own_cpu - result.from.own_cpu);
    print_number("busy", result.to.machine.busy - result.from.machine.busy);
    print_number("steal", result.to.machine.steal - result.from.machine.steal);
    print_latency("handshake", &ws.handshake);
    print_latency("answer", &http.answer);
    print_latency("latency", &tally.latency);
    puts("}");
}

/* --- options --- */

static const struct number_option {
    const char *name;
    long *value;
    long min, max;
} number_options[] = {
    {"--subscribers", &options.subscribers, 1, 19000},
    {"--publishers", &options.publishers, 1, 512},
    {"--size", &options.size, MARK_LENGTH + 1, 16384},
    {"--per-user", &options.per_user, 1, 1000},
    {"--rate", &options.rate, 0, 1000000},
    {"--ttl", &options.ttl, 0, 2592000},
    {"--warmup-ms", &options.warmup_ms, 0, 30000},
    {"--window-ms", &options.seconds_ms, 100, 60000},
    {"--settle-ms", &options.settle_ms, 0, 60000},
    {"--pid", &options.pid, 1, 1 << 30},
    {"--redis-pid", &options.redis_pid, 1, 1 << 30},
    {"--stuck", &options.stuck, 0, 18000},
};

static _Noreturn void usage(void)
{
    fputs("load MODE --ws 127.0.0.1:PORT --admin 127.0.0.1:PORT [--level plain/v1/sse] "
          "[OPTION NUMBER]...\nMODE: idle, push, fanout, flush\n",
          stderr);
    for (size_t i = 0; i < sizeof number_options / sizeof number_options[0]; i++)
        fprintf(stderr, "  %s %ld..%ld\n", number_options[i].name, number_options[i].min,
                number_options[i].max);
    exit(2);
}

static void take_address(struct sockaddr_in *address, const char *text)
{
    char host[32] = "";
    unsigned port = 0;
    if (sscanf(text, "%31[0-9.]:%u", host, &port) != 2 || port < 1 || port > 65535 ||
        inet_pton(AF_INET, host, &address->sin_addr) != 1)
        die("an address is 127.0.0.1:PORT, not %s", text);
    if (ntohl(address->sin_addr.s_addr) >> 24 != 127)
        die("load goes to 127.0.0.0/8 alone, not to %s", text);
    address->sin_family = AF_INET;
    address->sin_port = htons((uint16_t)port);
}

static void take_number(const char *name, const char *text)
{
    for (size_t i = 0; i < sizeof number_options / sizeof number_options[0]; i++) {
        const struct number_option *option = &number_options[i];
        char *end;
        if (strcmp(name, option->name) != 0)
            continue;
        *option->value = strtol(text, &end, 10);
        if (*end != '\0' || *option->value < option->min || *option->value > option->max)
            die("%s is %ld to %ld", name, option->min, option->max);
        return;
    }
    usage();
}

static void take_level(const char *text)
{
    static const char *const levels[] = {"plain", "v1", "sse"};
    int level = 0;
    while (level < 3 && strcmp(text, levels[level]) != 0)
        level++;
    if (level == 3)
        usage();
    options.level = (enum ws_level)level;
}

static void take_options(int count, char **words)
{
    static const char *const modes[] = {"idle", "push", "fanout", "flush"};
    int mode = 0;
    while (mode < 4 && (count < 2 || strcmp(words[1], modes[mode]) != 0))
        mode++;
    if (mode == 4 || count % 2 != 0)
        usage();
    options.mode = (enum mode)mode;
    for (int i = 2; i < count; i += 2) {
        if (strcmp(words[i], "--ws") == 0)
            take_address(&options.ws, words[i + 1]);
        else if (strcmp(words[i], "--admin") == 0)
            take_address(&options.admin, words[i + 1]);
        else if (strcmp(words[i], "--level") == 0)
            take_level(words[i + 1]);
        else
            take_number(words[i], words[i + 1]);
    }
    if (options.stuck >= options.subscribers)
        die("somebody has to read");
    if (options.ws.sin_port == 0 || (options.admin.sin_port == 0 && options.mode != MODE_IDLE))
        usage();
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
    take_options(count, words);
    signal(SIGALRM, on_alarm);
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
    tally_init((uint32_t)options.subscribers, (size_t)options.size);
    ws_init(&options.ws, (uint32_t)options.subscribers, (uint32_t)options.stuck, options.level);
    measure();
    print_result();
    return 0;
}
