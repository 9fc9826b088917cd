/* One request of an HTTP connection, from its first byte to its answer or its release. */
#include "gateway/http/http_conn_parts.h"
#include "tests/unit/http_conn_peers.h"

#include "gateway/base/metrics.h"

#include <stdio.h>

static unsigned n_requests;
static struct http_conn *requested;

static void set_up(void)
{
    peers_set_up();
    n_requests = 0;
}

TestSuite(http_conn_request, .init = set_up, .fini = peers_tear_down);

static void count_request(struct http_conn *http_conn)
{
    n_requests++;
    requested = http_conn;
    http_conn_await(http_conn);
}

static void turn(void)
{
    for (int i = 0; i < 3; i++)
        reactor_turn(worker->reactor, 0);
}

static void say_and_turn(int peer, const char *text)
{
    say(peer, text);
    turn();
}

/* What has come to that peer by now, as text. */
static const char *read_answer(int peer)
{
    static char text[8192];
    ssize_t len = recv(theirs[peer], text, sizeof text - 1, 0);
    text[len > 0 ? len : 0] = '\0';
    return text;
}

static void expect_answer(int peer, const char *status)
{
    const char *answer = read_answer(peer);
    cr_expect_eq(strncmp(answer, status, strlen(status)), 0, "%s is not %s", answer, status);
}

static bool has_ended(int peer)
{
    char byte;
    return recv(theirs[peer], &byte, 1, 0) == 0;
}

static void answer_requested(void)
{
    http_conn_answer(requested, 204, NULL, NULL, SPAN_NONE);
    turn();
}

/* ---- the head ---- */

Test(http_conn_request, is_handed_over_once_however_its_bytes_come)
{
    static const char request[] = "GET /slow HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\nmore";
    const size_t head_len = sizeof request - sizeof "more";
    route = count_request;
    arrive(0);
    for (size_t i = 0; i < sizeof request - 1; i++) {
        cr_assert_eq(n_requests, i < head_len ? 0 : 1, "%zu", i);
        cr_assert_eq(send(theirs[0], request + i, 1, MSG_NOSIGNAL), 1);
        turn();
    }
    cr_expect_eq(n_requests, 1);
    cr_expect(span_equal(http_conn_bytes(requested), span_of(request)));
    answer_requested();
    cr_expect_eq(n_requests, 1);
    expect_answer(0, "HTTP/1.1 204 ");
}

Test(http_conn_request, that_is_half_is_not_answered_until_the_rest_comes)
{
    route = count_request;
    arrive(0);
    say_and_turn(0, "GET /slow HTTP/1.1\r\nHost: a\r\n");
    cr_expect_eq(n_requests, 0);
    cr_expect_eq(read_answer(0)[0], '\0');
    say_and_turn(0, "\r\n");
    cr_expect_eq(n_requests, 1);
    answer_requested();
    expect_answer(0, "HTTP/1.1 204 ");
}

Test(http_conn_request, is_not_handed_over_when_its_head_is_malformed_or_too_large)
{
    static char field[HTTP_HEAD_USUAL_BYTES];
    route = count_request;
    arrive(0);
    say_and_turn(0, "GET /slow\r\n\r\n");
    expect_answer(0, "HTTP/1.1 400 ");
    arrive(1);
    memset(field, 'x', sizeof field - 1);
    say(1, "GET /slow HTTP/1.1\r\nHost: a\r\nX: ");
    say_and_turn(1, field);
    expect_answer(1, "HTTP/1.1 431 ");
    cr_expect(has_ended(1));
    cr_expect_eq(n_requests, 0);
}

/* CONTRACT 7, --head-timeout: by one clock, whatever trickles in meanwhile. */
Test(http_conn_request, is_refused_when_its_head_is_late)
{
    int64_t before = metrics_read(METRIC_REFUSED_408);
    route = count_request;
    show_clock();
    arrive(0); /* due in 60 s */
    for (int i = 0; i < 5; i++) {
        wait_s(10);
        say(0, i == 0 ? "GET /slow HTTP/1.1\r\nX: " : "x");
    }
    wait_s(9);
    cr_expect_eq(read_answer(0)[0], '\0');
    wait_s(2);
    expect_answer(0, "HTTP/1.1 408 ");
    cr_expect(has_ended(0));
    cr_expect_eq(n_requests, 0);
    cr_expect_eq(metrics_read(METRIC_REFUSED_408), before + 1);
    wait_s(2);
    cr_expect_eq(node.n_sockets, 0, "it does not wait longer for its peer");
    clock_replace(NULL, NULL);
}

/* ---- the body ---- */

static void refuse_at_once(struct http_conn *http_conn)
{
    n_requests++;
    http_conn_refuse(http_conn, ERR_FORBIDDEN, NULL, NULL, NULL);
}

/* A client that is refused by its head need not send the body, and what it sends is not read as a
 * request. */
Test(http_conn_request, is_refused_before_its_body_comes)
{
    route = refuse_at_once;
    arrive(0);
    say_and_turn(0, "POST /push HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n");
    expect_answer(0, "HTTP/1.1 403 ");
    cr_expect(has_ended(0));
    say_and_turn(0, "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n");
    cr_expect_eq(n_requests, 1);
    cr_expect_eq(read_answer(0)[0], '\0');
}

static char body_text[64];
static unsigned n_bodies;

static void on_body(struct http_conn *http_conn, struct span body)
{
    n_bodies++;
    snprintf(body_text, sizeof body_text, "%.*s", (int)body.len, body.bytes);
    http_conn_answer(http_conn, 204, NULL, NULL, SPAN_NONE);
}

static void want_five_bytes(struct http_conn *http_conn)
{
    n_requests++;
    http_conn_want_body(http_conn, 5, on_body);
}

Test(http_conn_request, has_its_body_handed_over_once_and_whole)
{
    route = want_five_bytes;
    arrive(0);
    say_and_turn(0, "POST /push HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n12");
    cr_expect_eq(n_bodies, 0);
    say_and_turn(0, "34");
    cr_expect_eq(n_bodies, 0);
    say_and_turn(0, "56");
    cr_expect_eq(n_bodies, 1);
    cr_expect_str_eq(body_text, "12345");
    expect_answer(0, "HTTP/1.1 204 ");
    arrive(1);
    say_and_turn(1, "POST /push HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde");
    cr_expect_eq(n_bodies, 2, "it was there already");
    cr_expect_str_eq(body_text, "abcde");
    cr_expect_eq(n_requests, 2);
}

/* ---- the answer ---- */

static void answer_with_text(struct http_conn *http_conn)
{
    const char *bytes = http_conn_bytes(http_conn).bytes;
    if (span_equal(http_part_span(bytes, http_conn_head(http_conn)->path), SPAN_LITERAL("/read")))
        http_conn_let_read(http_conn);
    http_conn_answer(http_conn, 200, "text/plain", NULL, SPAN_LITERAL("hello"));
}

/* RFC 9110, 9.3.2. */
Test(http_conn_request, by_head_is_answered_without_a_body)
{
    route = answer_with_text;
    arrive(0);
    say_and_turn(0, "HEAD /text HTTP/1.1\r\nHost: a\r\n\r\n");
    const char *answer = read_answer(0);
    cr_expect_not_null(strstr(answer, "\r\nContent-Length: 5\r\n"), "%s", answer);
    cr_assert_gt(strlen(answer), 4);
    cr_expect_str_eq(answer + strlen(answer) - 4, "\r\n\r\n");
    arrive(1);
    say_and_turn(1, "GET /text HTTP/1.1\r\nHost: a\r\n\r\n");
    answer = read_answer(1);
    cr_expect_str_eq(answer + strlen(answer) - 9, "\r\n\r\nhello");
}

Test(http_conn_request, of_a_page_is_readable_for_its_origin_if_its_route_says_so)
{
    route = answer_with_text;
    for (int i = 0; i < 2; i++) {
        arrive(i);
        say_and_turn(i, i == 0 ? "GET /read HTTP/1.1\r\nHost: a\r\nOrigin: http://b\r\n\r\n"
                               : "GET /text HTTP/1.1\r\nHost: a\r\nOrigin: http://b\r\n\r\n");
        bool is_readable =
            strstr(read_answer(i), "Access-Control-Allow-Origin: http://b\r\n") != NULL;
        cr_expect_eq(is_readable, i == 0, "%d", i);
    }
}

/* ---- while it is under way elsewhere ---- */

Test(http_conn_request, under_way_keeps_its_memory_though_its_peer_goes)
{
    route = answer_later;
    arrive(0);
    say_and_turn(0, "POST /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    cr_assert_not(http_conn_is_gone(waiting));
    shutdown(theirs[0], SHUT_RDWR);
    turn();
    cr_expect(http_conn_is_gone(waiting));
    cr_expect_eq(node.n_sockets, 0);
    http_conn_unpin(waiting);
    turn();
}

Test(http_conn_request, under_way_is_not_ended_by_the_timeout_of_heads)
{
    show_clock();
    route = answer_later;
    arrive(0);
    say_and_turn(0, "POST /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_s(120);
    cr_expect_eq(read_answer(0)[0], '\0');
    cr_expect_not(http_conn_is_gone(waiting));
    http_conn_answer(waiting, 204, NULL, NULL, SPAN_NONE);
    http_conn_unpin(waiting);
    turn();
    expect_answer(0, "HTTP/1.1 204 ");
    clock_replace(NULL, NULL);
}

/* ---- the release ---- */

static struct transport_socket released;

static void release_at_once(struct http_conn *http_conn)
{
    struct peer *peer = (struct peer *)&released; /* any other than NULL */
    n_requests++;
    http_conn_pin(http_conn);
    requested = http_conn;
    released = http_conn_release(http_conn, &peer);
    cr_expect_null(peer, "the socket's own address counts");
    struct span bytes = http_conn_bytes(http_conn);
    size_t head_len = http_conn_head(http_conn)->len;
    cr_expect(span_equal((struct span){bytes.bytes + head_len, bytes.len - head_len},
                         SPAN_LITERAL("early")));
}

/* As when it becomes a session: the socket is the caller's, with its slot among the node's. */
Test(http_conn_request, can_be_released_with_its_socket)
{
    show_clock();
    route = release_at_once;
    arrive(0);
    say_and_turn(0, "GET /ws HTTP/1.1\r\nHost: a\r\n\r\nearly");
    cr_assert_eq(n_requests, 1);
    cr_expect_eq(released.fd, ours[0]);
    cr_expect_eq(node.n_sockets, 1);
    cr_expect(http_conn_is_gone(requested));
    cr_expect(list_is_empty(&all.open));
    http_conn_unpin(requested);
    say(0, "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_s(70);
    cr_expect_eq(n_requests, 1, "its bytes are no longer read here");
    cr_expect_eq(read_answer(0)[0], '\0', "nor is it refused as late");
    transport_close(released);
    atomic_fetch_sub(&node.n_sockets, 1);
    clock_replace(NULL, NULL);
}

/* ---- deferred requests ---- */

static void work_or_wait(struct http_conn *http_conn)
{
    n_requests++;
    requested = http_conn;
    if (http_conn_take_turn(http_conn))
        http_conn_answer(http_conn, 204, NULL, NULL, SPAN_NONE);
    else if (http_conn_is_late(http_conn))
        http_conn_refuse(http_conn, ERR_BUSY, NULL, NULL, NULL);
}

Test(http_conn_request, that_is_deferred_is_handed_over_once_more_when_its_turn_comes)
{
    show_clock();
    route = work_or_wait;
    arrive(0);
    conn_loop_count_work(&worker->loop, 1000000);
    say_and_turn(0, "POST /work HTTP/1.1\r\nHost: a\r\n\r\n");
    cr_expect_eq(n_requests, 1);
    cr_expect_eq(read_answer(0)[0], '\0');
    wait_s(5);
    cr_expect_eq(n_requests, 2);
    expect_answer(0, "HTTP/1.1 204 ");
    clock_replace(NULL, NULL);
}

/* http_conn_count_work: what one request has cost, the next ones wait for. */
Test(http_conn_request, waits_for_the_work_that_was_counted_before)
{
    show_clock();
    route = work_or_wait;
    arrive(0);
    arrive(1);
    say_and_turn(0, "POST /work HTTP/1.1\r\nHost: a\r\n\r\n");
    expect_answer(0, "HTTP/1.1 204 ");
    http_conn_count_work(requested, 1000000);
    say_and_turn(1, "POST /work HTTP/1.1\r\nHost: a\r\n\r\n");
    cr_expect_eq(read_answer(1)[0], '\0');
    wait_s(5);
    expect_answer(1, "HTTP/1.1 204 ");
    clock_replace(NULL, NULL);
}
