/* What libmicrohttpd costs alone, beside what a GET of the admin port costs with it
 * (admin/README.md): one reactor and one daemon in external mode, as admin/library.c has it, but
 * its clients' sockets are the daemon's own. usage: library_alone serve PORT        answers each
 * request as GET /livez is answered, until it is killed library_alone get PORT COUNT    sends so
 * many GET /livez on one connection, each after the answer before */
#include "gateway/net/reactor.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static struct reactor *reactor;
static struct MHD_Daemon *daemon_alone;

static enum MHD_Result answer(void *closure, struct MHD_Connection *connection, const char *path,
                              const char *method, const char *version, const char *bytes,
                              size_t *len, void **state)
{
    static char body[] = "{\"status\":\"live\"}";
    (void)closure, (void)path, (void)method, (void)version, (void)bytes, (void)len;
    if (*state == NULL) {
        *state = body;
        return MHD_YES;
    }
    struct MHD_Response *response =
        MHD_create_response_from_buffer(sizeof body - 1, body, MHD_RESPMEM_PERSISTENT);
    MHD_add_response_header(response, "Content-Type", "application/json");
    enum MHD_Result result = MHD_queue_response(connection, 200, response);
    MHD_destroy_response(response);
    return result;
}

static void on_run(struct reactor_task *task)
{
    MHD_UNSIGNED_LONG_LONG left_ms;
    MHD_run(daemon_alone);
    if (MHD_get_timeout(daemon_alone, &left_ms) == MHD_YES && left_ms == 0)
        reactor_in_next_turn(reactor, task);
}

static struct reactor_task run = {.run = on_run};

static void on_daemon_ready(struct reactor_watch *watch, uint32_t events)
{
    (void)watch, (void)events;
    reactor_at_turn_end(reactor, &run);
}

static void on_client(struct reactor_watch *watch, uint32_t events)
{
    struct sockaddr_in from;
    socklen_t from_len = sizeof from;
    (void)events;
    int fd = accept4(watch->fd, (struct sockaddr *)&from, &from_len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0 &&
        MHD_add_connection(daemon_alone, fd, (struct sockaddr *)&from, from_len) == MHD_YES)
        reactor_at_turn_end(reactor, &run);
}

static struct sockaddr_in loopback(const char *port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)strtoul(port, NULL, 10)),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int serve(const char *port)
{
    struct sockaddr_in at = loopback(port);
    struct reactor_watch clients = {.on_ready = on_client, .fd = socket(AF_INET, SOCK_STREAM, 0)};
    struct reactor_watch daemon_watch = {.on_ready = on_daemon_ready};
    list_init(&run.link);
    if (reactor_new(NULL, &reactor) != ERR_OK ||
        bind(clients.fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(clients.fd, 16) != 0)
        return 1;
    daemon_alone = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET |
                                        MHD_ALLOW_SUSPEND_RESUME | MHD_USE_SUPPRESS_DATE_NO_CLOCK,
                                    0, NULL, NULL, answer, NULL, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
                                    (size_t)12288, MHD_OPTION_CONNECTION_MEMORY_INCREMENT,
                                    (size_t)4096, MHD_OPTION_END);
    if (daemon_alone == NULL)
        return 1;
    daemon_watch.fd = MHD_get_daemon_info(daemon_alone, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    if (reactor_watch_add(reactor, &daemon_watch, EPOLLIN) != ERR_OK ||
        reactor_watch_add(reactor, &clients, EPOLLIN) != ERR_OK)
        return 1;
    reactor_run(reactor);
    return 0;
}

static int get(const char *port, unsigned long count)
{
    static const char request[] = "GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    char got[4096];
    struct sockaddr_in at = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&at, sizeof at) != 0)
        return 1;
    for (unsigned long i = 0; i < count; i++) {
        size_t len = 0;
        if (send(fd, request, sizeof request - 1, MSG_NOSIGNAL) < 0)
            return 1;
        while (len == 0 || got[len - 1] != '}') {
            ssize_t n = recv(fd, got + len, sizeof got - len, 0);
            if (n <= 0)
                return 1;
            len += (size_t)n;
        }
    }
    close(fd);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "serve") == 0)
        return serve(argv[2]);
    if (argc == 4 && strcmp(argv[1], "get") == 0)
        return get(argv[2], strtoul(argv[3], NULL, 10));
    fprintf(stderr, "usage: library_alone serve PORT | library_alone get PORT COUNT\n");
    return 2;
}
