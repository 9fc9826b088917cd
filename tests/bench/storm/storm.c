/* Users who come back, and a publisher who does not give up. Everybody connects to one node; when
 * it dies they connect to another, where they are pushed to all the while. A push is repeated under
 * its idempotency key until it is accepted. At the end it is known what was accepted and never
 * came.
 *
 * storm FROM-PORT TO-PORT TO-ADMIN-PORT FIRST-USER USERS PUSHES-A-SECOND JITTER-MS
 *
 * Ports of 127.0.0.1. "ready" is printed when all are connected and pushed to: then the first node
 * is to be killed. "back" is printed when all are connected again; a line of JSON is the last. A
 * user whose connection ends comes back after up to JITTER-MS, one who is refused after the
 * Retry-After of the answer, one whose connection fails after 50 ms to 1 s. Exit 0: the line is
 * complete, whatever it says; 2: no line. One thread; ends by itself. */
#include "storm.h"

#include <errno.h>
#include <netinet/in.h>
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

#define LIMIT_SECONDS 120
#define TICK_NS       (2 * MS)
#define AFTERWARDS_NS (2 * SECOND) /* pushes go on, once all are back */
#define QUIET_NS      (5 * SECOND) /* nothing came for so long: nothing will */

struct options options;
struct push pushes[PUSHES_MAX];
uint32_t n_pushes;
static int epoll_fd;

/* ---- small things ---- */

void die(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    fputs("storm: ", stderr);
    vfprintf(stderr, format, list);
    fputc('\n', stderr);
    va_end(list);
    exit(2);
}

uint64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * SECOND + (uint64_t)time.tv_nsec;
}

uint32_t draw(uint32_t below)
{
    static uint64_t state = 88172645463325252ull;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return below == 0 ? 0 : (uint32_t)(state % below);
}

int begin_connect(uint16_t port, uint32_t source)
{
    const struct linger linger = {.l_onoff = 1};
    struct sockaddr_in from = {.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK + source)};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    int one = 1;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        die("cannot open a socket: %s", strerror(errno));
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    if (bind(fd, (const struct sockaddr *)&from, sizeof from) == 0 &&
        (connect(fd, (const struct sockaddr *)&to, sizeof to) == 0 || errno == EINPROGRESS))
        return fd;
    close(fd);
    return -1;
}

void watch(int op, int fd, uint32_t events, uint32_t index)
{
    struct epoll_event event = {.events = events, .data.u32 = index};
    if (epoll_ctl(epoll_fd, op, fd, &event) != 0)
        die("epoll_ctl: %s", strerror(errno));
}

/* ---- what happens when ---- */

static void turn(void)
{
    static struct epoll_event events[512];
    static uint64_t ticked_ns;
    int count = epoll_wait(epoll_fd, events, 512, (int)(TICK_NS / MS));
    for (int i = 0; i < count; i++) {
        uint32_t index = events[i].data.u32;
        if (index >= USERS_MAX)
            publishers_event(index - USERS_MAX);
        else
            users_event(index);
    }
    uint64_t now = now_ns();
    publishers_go_on(now);
    if (now - ticked_ns < TICK_NS)
        return;
    ticked_ns = now;
    users_start(now);
}

static void hold(uint64_t for_ns)
{
    for (uint64_t end = now_ns() + for_ns; now_ns() < end;)
        turn();
}

static void say(const char *line)
{
    puts(line);
    fflush(stdout);
}

static int compare(const void *a, const void *b)
{
    uint64_t first = *(const uint64_t *)a, second = *(const uint64_t *)b;
    return first < second ? -1 : first > second;
}

static double back_ms(double quantile)
{
    if (totals.n_back == 0)
        return 0;
    uint32_t at = (uint32_t)(quantile * totals.n_back);
    return (double)totals.back_ns[at < totals.n_back ? at : totals.n_back - 1] / MS;
}

static void print_result(void)
{
    uint64_t n_lost = 0;
    for (uint32_t i = 0; i < n_pushes; i++)
        n_lost += pushes[i].is_accepted && !pushes[i].is_received;
    qsort(totals.back_ns, totals.n_back, sizeof totals.back_ns[0], compare);
    printf("{\"users\":%u,\"open\":%u,\"back\":%u,\"backP50\":%.1f,\"backP99\":%.1f,"
           "\"backLast\":%.1f,\"refused\":%llu,\"failed\":%llu,",
           options.n_users, totals.open, totals.n_back, back_ms(0.5), back_ms(0.99), back_ms(1),
           (unsigned long long)totals.refused, (unsigned long long)totals.failed);
    printf("\"pushed\":%u,\"accepted\":%llu,\"repeated\":%llu,\"received\":%llu,\"lost\":%llu,"
           "\"duplicated\":%llu,\"misrouted\":%llu}\n",
           n_pushes, (unsigned long long)published.accepted, (unsigned long long)published.repeated,
           (unsigned long long)totals.received, (unsigned long long)n_lost,
           (unsigned long long)totals.duplicated, (unsigned long long)totals.misrouted);
}

static uint32_t take_number(const char *text, uint32_t least, uint32_t most)
{
    char *end;
    unsigned long number = strtoul(text, &end, 10);
    if (*text == '\0' || *end != '\0' || number < least || number > most)
        die("%s is not a number from %u to %u", text, least, most);
    return (uint32_t)number;
}

static void set_up(char **words)
{
    struct rlimit limit;
    options.from_port = (uint16_t)take_number(words[1], 1, 65535);
    options.to_port = (uint16_t)take_number(words[2], 1, 65535);
    options.admin_port = (uint16_t)take_number(words[3], 1, 65535);
    options.first_user = take_number(words[4], 0, 900000);
    options.n_users = take_number(words[5], 1, USERS_MAX);
    options.rate = take_number(words[6], 0, 20000);
    options.jitter_ms = take_number(words[7], 0, 60000);
    alarm(LIMIT_SECONDS);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    users_init();
    publishers_init();
}

int main(int count, char **words)
{
    if (count != 8)
        die("storm FROM-PORT TO-PORT TO-ADMIN-PORT FIRST-USER USERS PUSHES-A-SECOND JITTER-MS");
    set_up(words);
    while (totals.open < options.n_users)
        turn();
    publishers_begin();
    hold(SECOND);
    say("ready");
    while (totals.killed_ns == 0 || totals.n_back < options.n_users ||
           totals.open < options.n_users)
        turn();
    say("back");
    hold(AFTERWARDS_NS);
    publishers_end();
    totals.last_received_ns = now_ns();
    while (publishers_are_busy() ||
           (totals.received < published.accepted && now_ns() - totals.last_received_ns < QUIET_NS))
        turn();
    hold(SECOND / 2);
    print_result();
    return 0;
}
