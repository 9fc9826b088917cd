/* The floor: what the kernel alone takes for a push with ttl 0, so that a figure of Herald's can be
 * given as a multiple of it. Figures of different machines, or of different hours on one machine,
 * cannot be compared; ratios to a floor that was measured in the same run can.
 *
 * It is one epoll loop on one thread and understands only the generator's own requests (load_ws.c,
 * load_http.c): it finds the users' digits and the data at fixed places, writes one frame to each
 * user's socket and answers 202. It parses nothing, keeps nothing, pings nobody and checks nothing,
 * so no server that does these things can cost less.
 *
 * usage: floor SUBSCRIBER_PORT ADMIN_PORT [CERT KEY]    on 127.0.0.1, until SIGTERM; with a
 * certificate both ports speak TLS */
#include "floor.h"

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

enum { MAX_USERS = 1000000, REQUEST_BYTES = 262144, EVENTS = 512 };

/* What a descriptor is for. */
enum { UNUSED, SUBSCRIBER_PORT, ADMIN_PORT, SUBSCRIBER, PUBLISHER };

static uint8_t kinds[MAX_FDS];
static struct request {
    char *bytes;
    size_t len;
} requests[MAX_FDS];         /* of a publisher: what has arrived */
static int users[MAX_USERS]; /* the subscriber's descriptor; 0: none */
static int poller;

void die(const char *what)
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
        open_bytes(fd);
        if (kind == PUBLISHER && (requests[fd].bytes = malloc(REQUEST_BYTES)) == NULL)
            die("no memory for a request");
    }
}

static void leave(int fd)
{
    close_bytes(fd);
    free(requests[fd].bytes);
    requests[fd] = (struct request){0};
    kinds[fd] = UNUSED;
}

static void send_all(int fd, const void *bytes, size_t len)
{
    if (!send_bytes(fd, bytes, len) && errno != EPIPE && errno != ECONNRESET)
        die("a socket does not take a whole message");
}

static void take_handshake(int fd, const char *bytes, size_t len)
{
    static const char answer[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                                 "Connection: Upgrade\r\n"
                                 "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    static const char mark[] = "userId=u";
    if (bytes[0] != 'G')
        return; /* a pong */
    const char *at = memmem(bytes, len, mark, sizeof mark - 1);
    if (at != NULL)
        users[strtoul(at + sizeof mark - 1, NULL, 10) % MAX_USERS] = fd;
    send_all(fd, answer, sizeof answer - 1);
}

/* One text frame of 126 to 65535 bytes, or of fewer. Returns its length. */
static size_t make_frame(char *frame, const char *data, size_t len)
{
    size_t head = 2;
    frame[0] = (char)0x81;
    frame[1] = (char)len;
    if (len > 125) {
        frame[1] = 126;
        frame[2] = (char)(len >> 8);
        frame[3] = (char)len;
        head = 4;
    }
    memcpy(frame + head, data, len);
    return head + len;
}

/* A whole request: {"userId":"u000042",...,"data":...} or {"userIds":["u000042",...],...}, with the
 * users in front of everything else that has a u after a quote. */
static void take_push(int fd, const char *bytes, size_t len)
{
    static const char answer[] = "HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}";
    static const char first_mark[] = "\"u", data_mark[] = ",\"data\":";
    static char frame[4 + REQUEST_BYTES];
    const char *user = memmem(bytes, len, "\r\n\r\n{\"userId", 12);
    const char *data = memmem(bytes, len, data_mark, sizeof data_mark - 1);
    if (user == NULL || data == NULL)
        die("no request of the generator's");
    size_t from = (size_t)(data - bytes) + sizeof data_mark - 1;
    size_t frame_len = make_frame(frame, bytes + from, len - from - 1);
    user = memchr(user, ':', (size_t)(data - user));
    while ((user = memmem(user, (size_t)(data - user), first_mark, sizeof first_mark - 1))) {
        char *end;
        send_all(users[strtoul(user + sizeof first_mark - 1, &end, 10) % MAX_USERS], frame,
                 frame_len);
        user = end;
    }
    send_all(fd, answer, sizeof answer - 1);
}

/* Only a whole request ends with a brace, because the data has none. */
static void read_request(int fd)
{
    struct request *request = &requests[fd];
    ssize_t n = receive_bytes(fd, request->bytes + request->len, REQUEST_BYTES - request->len);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        leave(fd);
        return;
    }
    request->len += (size_t)n;
    if (request->bytes[request->len - 1] == '}') {
        take_push(fd, request->bytes, request->len);
        request->len = 0;
    } else if (request->len == REQUEST_BYTES) {
        die("a request is too large");
    }
}

static void read_subscriber(int fd)
{
    static char bytes[16384];
    ssize_t n = receive_bytes(fd, bytes, sizeof bytes);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0)
        leave(fd);
    else
        take_handshake(fd, bytes, (size_t)n);
}

static void on_event(int fd)
{
    switch (kinds[fd]) {
    case SUBSCRIBER_PORT:
        accept_all(fd, SUBSCRIBER);
        break;
    case ADMIN_PORT:
        accept_all(fd, PUBLISHER);
        break;
    case SUBSCRIBER:
        do {
            read_subscriber(fd);
        } while (has_more_bytes(fd));
        break;
    case PUBLISHER:
        do {
            read_request(fd);
        } while (has_more_bytes(fd));
        break;
    default:
        break;
    }
}

int main(int argc, char **argv)
{
    static struct epoll_event events[EVENTS];
    if (argc != 3 && argc != 5) {
        fprintf(stderr, "usage: floor SUBSCRIBER_PORT ADMIN_PORT [CERT KEY]\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
    if (argc == 5)
        secure_all(argv[3], argv[4]);
    poller = epoll_create1(EPOLL_CLOEXEC);
    open_port(argv[1], SUBSCRIBER_PORT);
    open_port(argv[2], ADMIN_PORT);
    for (;;) {
        int n = epoll_wait(poller, events, EVENTS, -1);
        for (int i = 0; i < n; i++)
            on_event(events[i].data.fd);
    }
}
