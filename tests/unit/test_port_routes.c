/* The routes of the subscriber port: what each path and method is answered, and who is let in. */
#include "gateway/identity/auth.h"
#include "gateway/port/port_routes.h"
#include "tests/unit/http_conn_peers.h"

#include <stdio.h>

static void port_set_up(void)
{
    peers_set_up();
    http_conns_init(&all, port_routes_serve);
}

TestSuite(port_routes, .init = port_set_up, .fini = peers_tear_down);

/* Others have used up more than the share of signatures all the time. */
static void wait_s_in_vain(int64_t seconds)
{
    for (int64_t i = 0; i < seconds * 50; i++) {
        conn_loop_count_work(&worker->loop, 1000000);
        shown_us += 20000;
        reactor_turn(worker->reactor, 0);
    }
}

static size_t take_answer(int peer, char answer[4096])
{
    ssize_t len = recv(theirs[peer], answer, 4095, 0);
    answer[len > 0 ? len : 0] = '\0';
    return len > 0 ? (size_t)len : 0;
}

/* EventSource gives up on a 503 for good, and a page with a WebSocket does not see it. */
Test(port_routes, whose_turn_does_not_come_in_time_is_refused_as_its_kind_can_take_it)
{
#define WS                                                                                         \
    " HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"                        \
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    static const char *const requests[PEERS] = {
        "GET /sse?userId=1 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /ws?userId=1&ticket=t" WS "Origin: http://a\r\n\r\n",
        "GET /ws?userId=1&ticket=t" WS "\r\n",
        "POST /ack?userId=1&id=abcdefgh-1 HTTP/1.1\r\nHost: a\r\n\r\n",
    };
    static const struct options with_tickets = {.auth = "ticket",
                                                .jwt_keys = "",
                                                .jwt_user_claim = "sub",
                                                .jwt_audience_claim = "aud",
                                                .token_cookie = ""};
    char why[100], answers[PEERS][4096];
    size_t len[PEERS];
    cr_assert_eq(auth_open(&with_tickets, &node.auth, why, sizeof why), ERR_OK, "%s", why);
    shown_us = clock_monotonic_us();
    clock_replace(show_wall_ms, show_us);
    reactor_turn(worker->reactor, 0);
    for (int i = 0; i < PEERS; i++) {
        arrive(i);
        say(i, requests[i]);
    }
    wait_s_in_vain(59);
    for (int i = 0; i < PEERS; i++)
        cr_assert_eq(take_answer(i, answers[i]), 0, "%s", answers[i]);
    wait_s_in_vain(2);
    for (int i = 0; i < PEERS; i++)
        len[i] = take_answer(i, answers[i]);
    cr_expect(strstr(answers[0], "HTTP/1.1 200 OK\r\n") == answers[0], "%s", answers[0]);
    cr_expect_not_null(strstr(answers[0], "\r\n\r\nretry: "), "%s", answers[0]);
    cr_expect(strstr(answers[1], "HTTP/1.1 101 ") == answers[1], "%s", answers[1]);
    cr_expect_not_null(memmem(answers[1], len[1], "\x03\xf5", 2), "1013");
    for (int i = 2; i < PEERS; i++) {
        cr_expect(strstr(answers[i], "HTTP/1.1 503 ") == answers[i], "%s", answers[i]);
        cr_expect_not_null(strstr(answers[i], "Connection: close\r\n"), "%s", answers[i]);
    }
    clock_replace(NULL, NULL);
    auth_close(node.auth);
}

/* ---- the health of the node (CONTRACT 3, on the subscriber port) ---- */

static void expect_health(int peer, const char *path, const char *status, const char *body)
{
    char request[100];
    char answer[4096];
    arrive(peer);
    snprintf(request, sizeof request, "GET %s HTTP/1.0\r\n\r\n", path);
    say(peer, request);
    for (int i = 0; i < 3; i++)
        reactor_turn(worker->reactor, 0);
    ssize_t len = recv(theirs[peer], answer, sizeof answer - 1, 0);
    cr_assert_gt(len, 0);
    answer[len] = '\0';
    cr_expect(strstr(answer, status) == answer, "%s", answer);
    cr_expect_not_null(strstr(answer, body), "%s", answer);
}

Test(port_routes, tells_how_its_node_is_to_whoever_asks)
{
    expect_health(0, "/readyz", "HTTP/1.1 503 ", "\"type\":\"store-unavailable\"");
    atomic_store(&node.was_store_up, true);
    expect_health(1, "/readyz", "HTTP/1.1 200 ", "\r\n\r\n{\"degraded\":[\"store\"]}");
    atomic_store(&node.is_store_up, true);
    expect_health(2, "/readyz", "HTTP/1.1 200 ", "\r\n\r\n{\"status\":\"ready\"}");
    atomic_store(&node.is_draining, true);
    expect_health(3, "/readyz", "HTTP/1.1 503 ", "\"type\":\"draining\"");
}

Test(port_routes, tells_that_a_worker_stands_still)
{
    expect_health(0, "/livez", "HTTP/1.1 200 ", "{\"status\":\"live\"}");
    atomic_fetch_sub(&worker->seen_ms, 60000);
    expect_health(1, "/livez", "HTTP/1.1 500 ", "a worker has not turned for 5 s");
}
