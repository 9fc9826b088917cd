/* For tests of HTTP connections: a worker, some sockets, and their peers. */
#ifndef HERALD_TESTS_HTTP_CONN_PEERS_H
#define HERALD_TESTS_HTTP_CONN_PEERS_H

#include "gateway/base/clock.h"
#include "gateway/http/http_conns.h"
#include "tests/support/plain_port.h"

#include <criterion/criterion.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef PEERS
#define PEERS 4
#endif

static const struct options options = {
    .head_timeout = 10000, .max_head = HTTP_HEAD_USUAL_BYTES, .insecure = true};
static struct node node;
static struct worker *worker;
static struct http_port port;
static struct http_conns all;
static int ours[PEERS], theirs[PEERS];

/* Serves all requests but those of /livez; NULL: they are answered 404. */
static void (*route)(struct http_conn *http_conn);

/* As a route whose connection goes on after its answer. */
static inline void answer_request(struct http_conn *http_conn)
{
    const char *bytes = http_conn_bytes(http_conn).bytes;
    if (span_equal(http_part_span(bytes, http_conn_head(http_conn)->path),
                   SPAN_LITERAL("/livez"))) {
        http_conn_keep(http_conn);
        http_conn_answer(http_conn, 200, "text/plain", NULL, SPAN_LITERAL("live"));
    } else if (route != NULL) {
        route(http_conn);
    } else {
        http_conn_refuse(http_conn, ERR_NOT_FOUND, NULL, NULL, NULL);
    }
}

static inline void on_second(struct worker *unused)
{
    (void)unused;
}

static inline void peers_set_up(void)
{
    node = (struct node){.options = &options, .workers = &worker, .n_workers = 1};
    cr_assert_eq(worker_new(&node, 0, on_second, &worker), ERR_OK);
    plain_port_init(&port, &node, answer_request);
    http_conns_init(&all, &port);
    for (int i = 0; i < PEERS; i++) {
        int ends[2];
        cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
        ours[i] = ends[0];
        theirs[i] = ends[1];
    }
}

static inline void peers_tear_down(void)
{
    http_conns_drop_all(&all);
    cr_expect_eq(node.n_sockets, 0);
    cr_expect_eq(all.n_lingering, 0);
    reactor_turn(worker->reactor, 0);
    worker_free(worker);
    for (int i = 0; i < PEERS; i++)
        close(theirs[i]);
}

static inline void arrive(int peer)
{
    atomic_fetch_add(&node.n_sockets, 1);
    cr_assert_eq(http_conn_new(worker, ours[peer], NULL, &(struct ip){0},
                               worker_now_ms(worker) + 60000, &all),
                 ERR_OK);
}

#define LIVEZ "GET /livez HTTP/1.1\r\nHost: a\r\n"

static inline void say(int peer, const char *text)
{
    cr_assert_eq(send(theirs[peer], text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* Takes the answers that have come by now: how many, and whether the last one says that the
 * connection goes on. */
static inline unsigned take_answers(int peer, bool *ret_goes_on)
{
    static char bytes[65536];
    ssize_t len = recv(theirs[peer], bytes, sizeof bytes - 1, 0);
    unsigned n = 0;
    bytes[len > 0 ? len : 0] = '\0';
    for (const char *at = bytes; (at = strstr(at, "HTTP/1.1 200 OK\r\nDate: ")) != NULL; at++) {
        *ret_goes_on = strstr(at, "Connection: keep-alive\r\n") != NULL;
        n++;
    }
    return n;
}

static inline bool goes_on_after(int peer, const char *request)
{
    bool goes_on = false;
    say(peer, request);
    for (int i = 0; i < 3; i++)
        reactor_turn(worker->reactor, 0);
    cr_assert_eq(take_answers(peer, &goes_on), 1, "%s", request);
    return goes_on;
}

static struct http_conn *waiting;

static inline void answer_later(struct http_conn *http_conn)
{
    waiting = http_conn;
    http_conn_let_read(http_conn);
    http_conn_pin(http_conn);
    http_conn_await(http_conn);
}

/* ---- time ---- */

static int64_t shown_us;

static inline int64_t show_wall_ms(void)
{
    return shown_us / 1000;
}

static inline int64_t show_us(void)
{
    return shown_us;
}

static inline void show_clock(void)
{
    shown_us = clock_monotonic_us();
    clock_replace(show_wall_ms, show_us);
    reactor_turn(worker->reactor, 0);
}

static inline void wait_s(int64_t seconds)
{
    for (int64_t i = 0; i < seconds * 10; i++) {
        shown_us += 100000;
        reactor_turn(worker->reactor, 0);
    }
}

#endif
