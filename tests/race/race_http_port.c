/* A second port that is opened and closed again and again while the workers run, with clients that
 * ask, send bodies, say nothing and go, for ThreadSanitizer. It also checks what must hold in any
 * interleaving: when the port is closed none of its connections is left, and somebody was answered
 * each time. Ends by itself within 20 s. */
#include "gateway/base/clock.h"
#include "gateway/http/acceptors.h"
#include "gateway/http/http_conn.h"
#include "gateway/http/listeners.h"
#include "tests/race/host.h"
#include "tests/support/loopback.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CLIENTS = 4, SOCKETS = 6, USUAL_MS = 4000, OPEN_MS = 100, ANSWERS_MS = 5000 };

static struct http_port port;
static atomic_uint n_sockets;
static atomic_uint n_answers; /* that clients have read */
static atomic_uint port_number;
static atomic_bool is_ending;

static void count_refused(unsigned status)
{
    (void)status;
}

static size_t on_body(struct http_conn *http_conn, struct span piece, bool is_last)
{
    if (is_last) {
        http_conn_keep(http_conn);
        http_conn_answer(http_conn, 200, "text/plain", NULL, SPAN_LITERAL("taken"));
    }
    return piece.len;
}

static const struct http_request_ops ops = {.on_body = on_body};

static void serve(struct http_conn *http_conn)
{
    const char *detail;
    http_conn_own(http_conn, &ops, &port);
    if (http_conn_take_body(http_conn, &detail) != ERR_OK)
        http_conn_refuse(http_conn, ERR_BAD_HEAD, detail, NULL, NULL);
}

static void set_up_port(void)
{
    http_port_init(&port, race.node);
    port.on_request = serve;
    port.max_sockets = SOCKETS;
    port.n_sockets = &n_sockets;
    port.is_ending = &is_ending;
    port.accepted = METRIC_ADMIN_ACCEPTED;
    port.accept_errors = METRIC_ACCEPT_ERRORS;
    port.count_refused = count_refused;
    port.conn_kind = HTTP_KIND_ADMIN;
    port.heads_give_way = true;
    atomic_store(&port.limits.head_timeout_ms, 1000);
    atomic_store(&port.limits.idle_timeout_ms, 1000);
    atomic_store(&port.limits.stall_timeout_ms, 1000);
    atomic_store(&port.limits.max_head, HTTP_HEAD_USUAL_BYTES);
}

static bool open_port(void)
{
    char why[300];
    char *address = "127.0.0.1:0";
    struct sockaddr_in at = {0};
    socklen_t len = sizeof at;
    set_up_port();
    if (listeners_open(&(struct option_list){&address, 1}, "listen", NULL, &port.listeners, why,
                       sizeof why) != ERR_OK ||
        getsockname(listeners_fd(port.listeners, 0), (struct sockaddr *)&at, &len) != 0)
        return false;
    if (acceptors_new(&port) != ERR_OK || acceptors_open_running(&port) != ERR_OK)
        return false;
    atomic_store(&port_number, ntohs(at.sin_port));
    return true;
}

static bool close_port(void)
{
    atomic_store(&is_ending, true);
    acceptors_end(&port);
    acceptors_close(&port);
    acceptors_free_running(&port);
    listeners_close(port.listeners);
    atomic_store(&is_ending, false);
    return atomic_load(&n_sockets) == 0;
}

/* Says nothing, a part of a request, or some requests; reads what comes, and goes. */
static void ask_and_leave(int fd, unsigned *seed)
{
    static const char *const requests[] = {
        "",
        "GET / HTTP/1.1\r\nHo",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    };
    char answer[1000];
    const char *request = requests[(unsigned)rand_r(seed) % 5];
    struct timeval soon = {.tv_usec = 20000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon);
    if (send(fd, request, strlen(request), MSG_NOSIGNAL) > 0 &&
        recv(fd, answer, sizeof answer, 0) > 0)
        atomic_fetch_add(&n_answers, 1);
    loopback_leave(fd, rand_r(seed) % 2 == 0);
}

static void *client(void *argument)
{
    unsigned seed = (unsigned)(size_t)argument;
    while (!atomic_load(&race.is_over)) {
        unsigned number = atomic_load(&port_number);
        int fd = number == 0 ? -1 : loopback_dial(number);
        if (fd >= 0)
            ask_and_leave(fd, &seed);
        else
            usleep(1000);
    }
    return NULL;
}

/* Open for a moment, and until somebody was answered. */
static bool open_and_close(void)
{
    unsigned before = atomic_load(&n_answers);
    int64_t began_ms = clock_monotonic_ms();
    if (!open_port())
        return false;
    do
        usleep(OPEN_MS * 1000);
    while (atomic_load(&n_answers) == before && clock_monotonic_ms() < began_ms + ANSWERS_MS);
    bool was_answered = atomic_load(&n_answers) != before;
    return close_port() && was_answered;
}

int main(int argc, char **argv)
{
    int run_ms = race_run_ms(argc, argv, USUAL_MS);
    char *more[] = {"--log-level", "error", NULL};
    bool is_good = race_start(more);
    unsigned n = 0;
    if (!is_good)
        return 1;
    for (size_t i = 0; i < CLIENTS; i++)
        race_thread(client, i + 1);
    int64_t until_ms = clock_monotonic_ms() + run_ms;
    for (; is_good && clock_monotonic_ms() < until_ms; n++)
        is_good = open_and_close();
    race_push("anna", &(struct gateway_push){.data = SPAN_LITERAL("1"), .ttl_s = 60});
    race_join();
    printf("opened %u times, %u answers\n", n, atomic_load(&n_answers));
    return race_end() && is_good ? 0 : 1;
}
