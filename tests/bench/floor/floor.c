/* The floor: what the kernel alone takes for a push with ttl 0, so that a figure of Herald's can be
 * given as a multiple of it. Figures of different machines, or of different hours on one machine,
 * cannot be compared; ratios to a floor that was measured in the same run can.
 *
 * It is one epoll loop on one thread and understands only the generator's own requests (load_ws.c,
 * load_http.c): it finds the user's digits and the data at fixed places, writes one frame to that
 * user's socket and answers 202. It parses nothing, keeps nothing, pings nobody and checks nothing,
 * so no server that does these things can cost less.
 *
 * usage: floor SUBSCRIBER_PORT ADMIN_PORT    on 127.0.0.1, until SIGTERM */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_FDS = 20000, MAX_USERS = 1000000, READ_BYTES = 65536, EVENTS = 512 };

/* What a descriptor is for. */
enum { UNUSED, SUBSCRIBER_PORT, ADMIN_PORT, SUBSCRIBER, PUBLISHER };

static uint8_t kinds[MAX_FDS];
static int users[MAX_USERS]; /* the subscriber's descriptor; 0: none */
static int poller;

static void die(const char *what)
{
    fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void watch(int fd, uint8_t kind)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (fd >= MAX_FDS || epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) != 0)
        die("a descriptor cannot be watched");
    kinds[fd] = kind;
}

static void open_port(const char *port, uint8_t kind)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)strtoul(port, NULL, 10)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(fd, 4096) != 0)
        die(port);
    watch(fd, kind);
}

static void accept_all(int port, uint8_t kind)
{
    int on = 1;
    int fd;
    while ((fd = accept4(port, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        watch(fd, kind);
    }
}

/* The digits after `mark` in what was read. */
static uint32_t find_user(const char *bytes, size_t len, const char *mark)
{
    const char *at = memmem(bytes, len, mark, strlen(mark));
    return at == NULL ? 0 : (uint32_t)strtoul(at + strlen(mark), NULL, 10) % MAX_USERS;
}

static void send_all(int fd, const void *bytes, size_t len)
{
    if (send(fd, bytes, len, MSG_NOSIGNAL) != (ssize_t)len && errno != EPIPE && errno != ECONNRESET)
        die("a socket does not take a whole message");
}

static void take_handshake(int fd, const char *bytes, size_t len)
{
    static const char answer[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                                 "Connection: Upgrade\r\n"
                                 "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    if (bytes[0] != 'G')
        return; /* a pong, or an acknowledgement */
    users[find_user(bytes, len, "userId=u")] = fd;
    send_all(fd, answer, sizeof answer - 1);
}

/* One text frame of 126 to 65535 bytes, or of fewer. */
static void send_frame(int fd, const char *data, size_t len)
{
    static char frame[4 + READ_BYTES] = {(char)0x81};
    size_t head = 2;
    frame[1] = (char)len;
    if (len > 125) {
        frame[1] = 126;
        frame[2] = (char)(len >> 8);
        frame[3] = (char)len;
        head = 4;
    }
    memcpy(frame + head, data, len);
    send_all(fd, frame, head + len);
}

/* A request is small and comes over loopback, so one read brings the whole of it. */
static void take_push(int fd, const char *bytes, size_t len)
{
    static const char answer[] = "HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}";
    static const char mark[] = "\"data\":";
    const char *data = memmem(bytes, len, mark, sizeof mark - 1);
    if (data == NULL || bytes[len - 1] != '}')
        die("not one whole request");
    data += sizeof mark - 1;
    send_frame(users[find_user(bytes, len, "\"userId\":\"u")], data,
               (size_t)(bytes + len - data) - 1);
    send_all(fd, answer, sizeof answer - 1);
}

static void read_from(int fd)
{
    static char bytes[READ_BYTES];
    ssize_t n = recv(fd, bytes, sizeof bytes, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        close(fd);
        kinds[fd] = UNUSED;
    } else if (kinds[fd] == SUBSCRIBER) {
        take_handshake(fd, bytes, (size_t)n);
    } else {
        take_push(fd, bytes, (size_t)n);
    }
}

int main(int argc, char **argv)
{
    static struct epoll_event events[EVENTS];
    if (argc != 3) {
        fprintf(stderr, "usage: floor SUBSCRIBER_PORT ADMIN_PORT\n");
        return 2;
    }
    poller = epoll_create1(EPOLL_CLOEXEC);
    open_port(argv[1], SUBSCRIBER_PORT);
    open_port(argv[2], ADMIN_PORT);
    for (;;) {
        int n = epoll_wait(poller, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (kinds[fd] == SUBSCRIBER_PORT)
                accept_all(fd, SUBSCRIBER);
            else if (kinds[fd] == ADMIN_PORT)
                accept_all(fd, PUBLISHER);
            else if (kinds[fd] != UNUSED)
                read_from(fd);
        }
    }
}
