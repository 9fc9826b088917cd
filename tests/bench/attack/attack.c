/* The attackers of the benchmark: many connections of one kind, on one thread and one epoll set.
 *
 * usage: bench_attack KIND 127.0.0.1:PORT CONNECTIONS MILLISECONDS
 *   heads      each sends a request head, a byte a second
 *   stuck      each subscribes (userId s000000 and so on) and never reads
 *   pings      each subscribes and sends pings of 125 bytes, as fast as they are taken
 *   deaf       each subscribes, sends empty pings as fast as they are taken, and reads no pong
 *   fragments  each subscribes with herald.v1 and sends messages in pieces of one byte
 *   hellos     each begins a TLS handshake, and does not go on with it; they are ten addresses
 *   silent     each connects from one of ten addresses, and says nothing
 *   bodies     each announces a push of 2 MiB from one of ten addresses, and breaks off
 *   drop       each connects and leaves: after nothing, half a head, or a handshake
 *
 * Half of the bodies break off with the end of the stream right after the first bytes, and wait for
 * the server to close; the others are reset a second later. Whoever is closed begins again, silent
 * ones and bodies after a second.
 *
 * It goes to 127.0.0.0/8 alone, runs at the lowest priority (real attackers take no CPU of the
 * server's), ends by itself within a minute, and dies with the process that started it. At the end,
 * or at SIGTERM, it prints what it did as one line of JSON. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LIMIT_MS         60000
#define CONNECTS_AT_ONCE 128
#define DRIBBLE_MS       1000
#define PER_ADDRESS      10000 /* one address has 28 000 ports */
#define FEW_ADDRESSES    10
#define PAUSE_MS         1000
#define FRAGMENTS        60000 /* of one message: below --max-message */
#define PING_BYTES       125
#define PINGS_AT_ONCE    4096

enum kind { HEADS, STUCK, PINGS, DEAF, FRAGMENTED, HELLOS, SILENT, BODIES, DROP, N_KINDS };
static const char *const kinds[N_KINDS] = {"heads",  "stuck",  "pings",  "deaf", "fragments",
                                           "hellos", "silent", "bodies", "drop"};

enum peer_state { ABSENT, CONNECTING, SHAKING, OPEN };

struct peer {
    int fd;
    enum peer_state state;
    size_t at;      /* the next byte of the head, or of the flood */
    int64_t due_ms; /* for its next byte, for breaking off, or for beginning again */
};

static enum kind kind;
static struct sockaddr_in server;
static struct peer *peers;
static uint32_t n_peers, n_under_way;
static int epoll_fd;
static uint8_t *flood;
static size_t n_flood;
static volatile sig_atomic_t is_over;
static uint64_t n_connected, n_opened, n_closed, n_bytes;

static _Noreturn void die(const char *text)
{
    fprintf(stderr, "attack: %s: %s\n", text, strerror(errno));
    exit(2);
}

static int64_t now_ms(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static void watch(int op, uint32_t index, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.u32 = index};
    if (epoll_ctl(epoll_fd, op, peers[index].fd, &event) != 0)
        die("epoll_ctl");
}

static void leave(uint32_t index)
{
    struct peer *peer = &peers[index];
    n_under_way -= peer->state != OPEN;
    n_closed += peer->state == OPEN;
    close(peer->fd);
    *peer = (struct peer){.fd = -1};
    if (kind == SILENT || kind == BODIES)
        peer->due_ms = now_ms() + PAUSE_MS;
}

/* The end resets the connection: no port waits for minutes to be used again. */
static int open_socket(uint32_t index)
{
    bool is_few = kind == HELLOS || kind == SILENT || kind == BODIES;
    uint32_t address = is_few ? index % FEW_ADDRESSES : index / PER_ADDRESS;
    const struct sockaddr_in from = {.sin_family = AF_INET,
                                     .sin_addr.s_addr = htonl(INADDR_LOOPBACK + 100 + address)};
    struct linger linger = {.l_onoff = 1};
    int one = 1, few = 4096;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger) != 0 ||
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one) != 0 ||
        ((kind == STUCK || kind == DEAF) &&
         setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &few, sizeof few) != 0) ||
        bind(fd, (const struct sockaddr *)&from, sizeof from) != 0)
        die("cannot open a socket");
    return fd;
}

static void start(uint32_t index)
{
    struct peer *peer = &peers[index];
    *peer = (struct peer){.fd = open_socket(index), .state = CONNECTING};
    n_under_way++;
    if (connect(peer->fd, (const struct sockaddr *)&server, sizeof server) != 0 &&
        errno != EINPROGRESS)
        die("cannot connect");
    watch(EPOLL_CTL_ADD, index, EPOLLOUT);
}

static int write_handshake(char *request, size_t cap, uint32_t index)
{
    return snprintf(request, cap,
                    "GET /ws?userId=s%06u HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nUpgrade: websocket\r\n"
                    "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                    "Sec-WebSocket-Version: 13\r\n%s\r\n",
                    index, ntohs(server.sin_port),
                    kind == FRAGMENTED ? "Sec-WebSocket-Protocol: herald.v1\r\n" : "");
}

static void opened(uint32_t index)
{
    peers[index].state = OPEN;
    n_under_way--;
    n_opened++;
}

/* RFC 8446, 4.1.2: TLS 1.3 with AES-128-GCM and X25519. */
static const uint8_t hello[] = {
    22,       3,  1, 0,    114, 1,  0, 0,  110, 3,  3, /* the record, the message, its version */
    [43] = 0, 0,  2, 0x13, 1,   1,  0, 0,  67,         /* after the random bytes */
    0,        43, 0, 3,    2,   3,  4, 0,  10,  0,  4, 0,         2, 0, 29, /* versions, groups */
    0,        13, 0, 6,    0,   4,  4, 3,  8,   4,                          /* signatures */
    0,        51, 0, 38,   0,   36, 0, 29, 0,   32, 9, [118] = 0, /* a key: the curve's base point
                                                                   */
};

/* The first and only bytes of a connection. */
static void say(uint32_t index, const void *bytes, size_t length)
{
    if (send(peers[index].fd, bytes, length, MSG_NOSIGNAL) != (ssize_t)length) {
        leave(index);
        return;
    }
    n_bytes += length;
    opened(index);
    watch(EPOLL_CTL_MOD, index, EPOLLIN);
}

static void break_off_body(uint32_t index)
{
    char request[256];
    int length = snprintf(request, sizeof request,
                          "POST /push HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n"
                          "Content-Type: application/json\r\nContent-Length: 2097152\r\n\r\n"
                          "{\"userId\":\"s%06u\",\"data\":\"",
                          ntohs(server.sin_port), index);
    bool is_end = index % 2 == 0;
    peers[index].due_ms = is_end ? INT64_MAX : now_ms() + PAUSE_MS;
    say(index, request, (size_t)length);
    if (is_end && peers[index].state == OPEN)
        shutdown(peers[index].fd, SHUT_WR);
}

static void on_connected(uint32_t index)
{
    char request[512];
    struct peer *peer = &peers[index];
    int length = write_handshake(request, sizeof request, index);
    n_connected++;
    if (kind == HEADS) {
        opened(index);
        watch(EPOLL_CTL_MOD, index, EPOLLIN);
        peer->due_ms = now_ms() + index % DRIBBLE_MS; /* spread over the second */
        return;
    }
    if (kind == HELLOS || kind == SILENT) {
        say(index, hello, kind == HELLOS ? sizeof hello : 0);
        return;
    }
    if (kind == BODIES) {
        break_off_body(index);
        return;
    }
    if (kind == DROP)
        length = length * (int)(n_connected % 3) / 2;
    if (length > 0 && send(peer->fd, request, (size_t)length, MSG_NOSIGNAL) != length) {
        leave(index);
        return;
    }
    if (kind == DROP) {
        leave(index);
        return;
    }
    peer->state = SHAKING;
    watch(EPOLL_CTL_MOD, index, EPOLLIN);
}

/* The answer to the handshake comes in one piece. */
static void on_answer(uint32_t index)
{
    char answer[2048];
    ssize_t count = recv(peers[index].fd, answer, sizeof answer, 0);
    if (count < 12 || memcmp(answer, "HTTP/1.1 101", 12) != 0) {
        leave(index);
        return;
    }
    opened(index);
    watch(EPOLL_CTL_MOD, index,
          (kind == STUCK || kind == DEAF ? 0 : EPOLLIN) | (kind == STUCK ? 0 : EPOLLOUT));
}

static void go_on(uint32_t index, uint32_t events)
{
    static uint8_t waste[65536];
    struct peer *peer = &peers[index];
    if (events & (EPOLLHUP | EPOLLERR)) {
        leave(index);
        return;
    }
    if (events & EPOLLIN) {
        ssize_t count = recv(peer->fd, waste, sizeof waste, 0);
        if (count == 0 || (count < 0 && errno != EAGAIN)) {
            leave(index);
            return;
        }
    }
    if ((events & EPOLLOUT) && n_flood > 0) {
        ssize_t count = send(peer->fd, flood + peer->at, n_flood - peer->at, MSG_NOSIGNAL);
        if (count > 0) {
            n_bytes += (uint64_t)count;
            peer->at = (peer->at + (size_t)count) % n_flood;
        }
    }
}

static void on_event(uint32_t index, uint32_t events)
{
    switch (peers[index].state) {
    case CONNECTING:
        if (events & (EPOLLERR | EPOLLHUP))
            leave(index);
        else
            on_connected(index);
        break;
    case SHAKING:
        on_answer(index);
        break;
    case OPEN:
        go_on(index, events);
        break;
    case ABSENT:
        break;
    }
}

static void dribble(int64_t now)
{
    static const char head[] = "GET /ws?userId=a-slow-one HTTP/1.1\r\nX-Filling: ";
    for (uint32_t i = 0; i < n_peers; i++) {
        struct peer *peer = &peers[i];
        if (peer->state != OPEN || peer->due_ms > now)
            continue;
        peer->due_ms += DRIBBLE_MS;
        const char *byte = peer->at < sizeof head - 1 ? head + peer->at : "x";
        peer->at++;
        n_bytes += send(peer->fd, byte, 1, MSG_NOSIGNAL) == 1;
    }
}

static void break_off(int64_t now)
{
    for (uint32_t i = 0; i < n_peers; i++) {
        if (peers[i].state == OPEN && peers[i].due_ms <= now)
            leave(i);
    }
}

static uint8_t *put_frame(uint8_t *at, uint8_t first, size_t length)
{
    static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
    *at++ = first;
    *at++ = (uint8_t)(0x80 | length);
    memcpy(at, mask, 4);
    at += 4;
    for (size_t i = 0; i < length; i++)
        *at++ = 'x' ^ mask[i & 3];
    return at;
}

static void make_flood(void)
{
    const bool is_ping = kind != FRAGMENTED;
    const size_t length = kind == PINGS ? PING_BYTES : kind == DEAF ? 0 : 1;
    const size_t count = is_ping ? PINGS_AT_ONCE : FRAGMENTS;
    flood = malloc(count * (6 + length));
    if (flood == NULL)
        die("out of memory");
    uint8_t *end = flood;
    for (size_t i = 0; i < count; i++) {
        uint8_t fragment = (uint8_t)((i == 0 ? 1 : 0) | (i == count - 1 ? 0x80 : 0));
        end = put_frame(end, is_ping ? 0x89 : fragment, length);
    }
    n_flood = (size_t)(end - flood);
}

static void attack(int64_t until_ms)
{
    static struct epoll_event events[256];
    uint32_t next = 0;
    for (int64_t now = now_ms(); now < until_ms && !is_over; now = now_ms()) {
        for (uint32_t i = 0; i < n_peers && n_under_way < CONNECTS_AT_ONCE; i++) {
            next = (next + 1) % n_peers;
            if (peers[next].state == ABSENT && peers[next].due_ms <= now)
                start(next);
        }
        int count = epoll_wait(epoll_fd, events, 256, 10);
        if (count < 0 && errno != EINTR)
            die("epoll_wait");
        for (int i = 0; i < count; i++)
            on_event(events[i].data.u32, events[i].events);
        if (kind == HEADS)
            dribble(now);
        if (kind == BODIES)
            break_off(now);
    }
}

static void on_end(int signal)
{
    (void)signal;
    is_over = 1;
}

static bool take_options(char **words, long *ret_ms)
{
    unsigned port;
    char address[32], end;
    while (kind < N_KINDS && strcmp(words[1], kinds[kind]) != 0)
        kind++;
    if (kind == N_KINDS || sscanf(words[2], "%31[0-9.]:%u%c", address, &port, &end) != 2)
        return false;
    server = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    n_peers = (uint32_t)strtoul(words[3], NULL, 10);
    *ret_ms = strtol(words[4], NULL, 10);
    return inet_pton(AF_INET, address, &server.sin_addr) == 1 &&
           ntohl(server.sin_addr.s_addr) >> 24 == 127 && n_peers > 0 && n_peers <= 18000 &&
           *ret_ms > 0 && *ret_ms <= LIMIT_MS;
}

int main(int count, char **words)
{
    long ms;
    struct rlimit limit;
    if (count != 5 || !take_options(words, &ms)) {
        fputs("usage: bench_attack heads|stuck|pings|deaf|fragments|hellos|silent|bodies|drop "
              "127.0.0.1:PORT "
              "CONNECTIONS MILLISECONDS\n",
              stderr);
        return 2;
    }
    signal(SIGTERM, on_end);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setpriority(PRIO_PROCESS, 0, 19);
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    peers = calloc(n_peers, sizeof *peers);
    if (epoll_fd < 0 || peers == NULL)
        die("cannot start");
    if (kind == PINGS || kind == DEAF || kind == FRAGMENTED)
        make_flood();
    attack(now_ms() + ms);
    printf("{\"connected\":%lu,\"opened\":%lu,\"closed\":%lu,\"bytes\":%lu}\n", n_connected,
           n_opened, n_closed, n_bytes);
    return 0;
}
