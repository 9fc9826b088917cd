/* HTTP connections: which of them go on after an answer, and which make room for others. */
#include "tests/unit/http_conn_peers.h"

#include "gateway/base/hash.h"
#include "gateway/http/early_refusal.h"

#include <stdio.h>

TestSuite(http_conn, .init = peers_set_up, .fini = peers_tear_down);

static void ask_for_a_refusal(int peer)
{
    cr_assert_eq(send(theirs[peer], "nonsense\r\n\r\n", 12, MSG_NOSIGNAL), 12);
    reactor_turn(worker->reactor, 0);
}

/* Reads all that was sent to it. Is its connection closed? */
static bool has_gone(int peer)
{
    char bytes[4096];
    while (recv(theirs[peer], bytes, sizeof bytes, 0) > 0) {
    }
    return send(theirs[peer], "x", 1, MSG_NOSIGNAL) < 0;
}

Test(http_conn, that_was_answered_first_is_the_first_to_make_room)
{
    for (int i = 0; i < PEERS; i++)
        arrive(i);
    ask_for_a_refusal(2);
    ask_for_a_refusal(1);
    cr_assert(http_conns_make_room(&all));
    cr_expect(has_gone(2));
    cr_expect_not(has_gone(1));
    cr_assert(http_conns_make_room(&all));
    cr_expect(has_gone(1));
    cr_assert_not(http_conns_make_room(&all), "unfinished heads make no room");
    cr_expect_not(has_gone(0));
    cr_expect_eq(node.n_sockets, PEERS - 2);
}

Test(http_conn, is_not_closed_while_its_answer_is_on_its_way)
{
    static char filling[4096];
    while (send(ours[0], filling, sizeof filling, MSG_NOSIGNAL) > 0) {
    }
    arrive(0);
    ask_for_a_refusal(0);
    cr_expect_eq(all.n_lingering, 1);
    cr_assert_not(http_conns_make_room(&all));
    cr_assert_not(has_gone(0));
    for (int i = 0; i < 3; i++)
        reactor_turn(worker->reactor, 0);
    cr_assert(http_conns_make_room(&all));
}

static void expect_refused_unread(int peer, enum err error, const char *status, const char *type)
{
    char answer[4096];
    early_refusal_send(worker, &port, ours[peer], error);
    ssize_t len = recv(theirs[peer], answer, sizeof answer - 1, 0);
    cr_assert_gt(len, 0);
    answer[len] = '\0';
    cr_expect(strstr(answer, status) == answer, "%s", answer);
    cr_expect_not_null(strstr(answer, "\r\nContent-Type: application/problem+json\r\n"), "%s",
                       answer);
    const char *retry = strstr(answer, "\r\nRetry-After: ");
    cr_assert_not_null(retry, "%s", answer);
    long seconds = strtol(retry + strlen("\r\nRetry-After: "), NULL, 10);
    cr_expect(seconds >= 1 && seconds <= 11, "%s", answer);
    cr_expect_not_null(strstr(answer, "\r\nConnection: close\r\n"), "%s", answer);
    cr_expect_not_null(strstr(answer, type), "%s", answer);
}

Test(http_conn, without_a_slot_is_refused_with_a_problem)
{
    expect_refused_unread(0, ERR_FULL, "HTTP/1.1 503 ", "{\"type\":\"full\",");
    expect_refused_unread(1, ERR_CROWDED, "HTTP/1.1 429 ", "{\"type\":\"rate-limited\",");
}

/* ---- connections that are kept (RFC 9112, 9.3) ---- */

Test(http_conn, goes_on_until_the_peer_wants_no_more)
{
    arrive(0);
    for (int i = 0; i < 3; i++)
        cr_assert(goes_on_after(0, LIVEZ "\r\n"));
    cr_assert_not(goes_on_after(0, LIVEZ "Connection: Close\r\n\r\n"));
    char byte;
    cr_assert_eq(recv(theirs[0], &byte, 1, 0), 0, "the end");
}

Test(http_conn, ends_where_it_is_not_clear_where_the_next_request_begins)
{
    static const char *const requests[PEERS] = {
        "GET /livez HTTP/1.0\r\n\r\n",
        LIVEZ "Transfer-Encoding: chunked\r\n\r\n",
        LIVEZ "Content-Length: 8193\r\n\r\n",
        LIVEZ "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n",
    };
    for (int i = 0; i < PEERS; i++) {
        arrive(i);
        cr_expect_not(goes_on_after(i, requests[i]), "%s", requests[i]);
    }
}

/* RFC 9112, C.2.2. */
Test(http_conn, of_an_older_version_goes_on_if_it_asks_for_that)
{
    arrive(0);
    for (int i = 0; i < 3; i++)
        cr_assert(goes_on_after(0, "GET /livez HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"));
    cr_expect_not(goes_on_after(0, "GET /livez HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n"));
}

/* RFC 9112, 2.2. */
Test(http_conn, rests_though_an_empty_line_follows_a_request)
{
    static const char *const requests[PEERS] = {
        LIVEZ "\r\n\r\n",
        LIVEZ "Content-Length: 5\r\n\r\nhello\r\n",
        LIVEZ "Content-Length: 5\r\n\r\nhello\r\n\r\n\r\n",
        LIVEZ "\r\n",
    };
    for (int i = 0; i < PEERS; i++) {
        arrive(i);
        cr_assert(goes_on_after(i, requests[i]));
    }
    say(3, "\r\n");
    reactor_turn(worker->reactor, 0);
    cr_expect_eq(all.n_lingering, PEERS, "they rest");
    show_clock();
    wait_s(30); /* longer than a head may take */
    for (int i = 0; i < PEERS; i++)
        cr_expect(goes_on_after(i, "\r\n" LIVEZ "\r\n"));
}

Test(http_conn, of_a_node_that_is_leaving_is_not_kept)
{
    arrive(0);
    atomic_store(&node.is_draining, true);
    cr_expect_not(goes_on_after(0, LIVEZ "\r\n"));
}

/* ---- what comes while a request is under way elsewhere ---- */

/* The bytes that follow move the head to a larger block of memory, and the heads of others take the
 * old one. */
Test(http_conn, answers_the_origin_that_asked_whatever_comes_meanwhile)
{
    static char more[20000];
    char answer[4096];
    memset(more, 'x', sizeof more - 1);
    route = answer_later;
    for (int i = 0; i < PEERS; i++)
        arrive(i);
    say(0, "POST /slow HTTP/1.1\r\nHost: a\r\nOrigin: http://a\r\n\r\n");
    reactor_turn(worker->reactor, 0);
    cr_assert_not_null(waiting);
    say(0, more);
    reactor_turn(worker->reactor, 0);
    for (int i = 1; i < PEERS; i++)
        say(i, "POST /slow HTTP/1.1\r\nHost: b\r\nOrigin: http://b\r\nX: ");
    reactor_turn(worker->reactor, 0);
    http_conn_answer(waiting, 204, NULL, NULL, SPAN_NONE);
    http_conn_unpin(waiting);
    reactor_turn(worker->reactor, 0);
    ssize_t len = recv(theirs[0], answer, sizeof answer - 1, 0);
    cr_assert_gt(len, 0);
    answer[len] = '\0';
    cr_expect_not_null(strstr(answer, "\r\nAccess-Control-Allow-Origin: http://a\r\n"), "%s",
                       answer);
}

static void wait_for_a_turn(struct http_conn *http_conn)
{
    if (!http_conn_take_turn(http_conn) && http_conn_is_late(http_conn))
        http_conn_refuse(http_conn, ERR_BUSY, NULL, NULL, NULL);
}

/* CONTRACT 5.10: each request is answered, at shutdown too. */
Test(http_conn, is_answered_though_the_port_is_closed_if_its_request_is_whole)
{
    char answer[4096];
    for (int i = 0; i < 3; i++)
        arrive(i);
    route = answer_later;
    say(0, "POST /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    reactor_turn(worker->reactor, 0);
    route = wait_for_a_turn;
    conn_loop_count_work(&worker->loop, 1000000);
    say(1, "POST /work HTTP/1.1\r\nHost: a\r\n\r\n");
    say(2, "POST /half HTTP/1.1\r\nHo");
    reactor_turn(worker->reactor, 0);
    http_conns_drop_unfinished(&all);
    cr_expect(has_gone(2));
    http_conn_answer(waiting, 204, NULL, NULL, SPAN_NONE);
    http_conn_unpin(waiting);
    reactor_turn(worker->reactor, 0);
    cr_assert_gt(recv(theirs[0], answer, sizeof answer, 0), 0);
    cr_expect_eq(memcmp(answer, "HTTP/1.1 204 ", 13), 0);
    cr_assert_gt(recv(theirs[1], answer, sizeof answer, 0), 0);
    cr_expect_eq(memcmp(answer, "HTTP/1.1 503 ", 13), 0);
}

Test(http_conn, makes_room_for_others_while_it_rests)
{
    for (int i = 0; i < 3; i++) {
        arrive(i);
        cr_assert(goes_on_after(i, LIVEZ "\r\n"));
    }
    say(0, "GET /");
    reactor_turn(worker->reactor, 0);
    cr_expect_eq(all.n_lingering, 2, "one has begun its next head");
    http_conns_yield(&all);
    cr_expect(has_gone(1));
    cr_assert(http_conns_make_room(&all));
    cr_expect(has_gone(2));
    cr_assert_not(http_conns_make_room(&all));
    cr_assert(goes_on_after(0, "livez HTTP/1.1\r\nHost: a\r\n\r\n"));
}

Test(http_conn, is_closed_with_the_port_when_it_rests)
{
    arrive(0);
    cr_assert(goes_on_after(0, LIVEZ "\r\n"));
    http_conns_drop_unfinished(&all);
    cr_expect_eq(node.n_sockets, 0);
}

Test(http_conn, rests_for_75_seconds_and_its_next_head_has_10)
{
    show_clock();
    arrive(0);
    arrive(1);
    cr_assert(goes_on_after(0, LIVEZ "\r\n"));
    cr_assert(goes_on_after(1, LIVEZ "\r\n"));
    wait_s(74);
    cr_assert_eq(node.n_sockets, 2);
    say(1, "GET /");
    wait_s(2);
    cr_expect_eq(node.n_sockets, 1, "what rested is closed, and nothing is sent");
    char byte;
    cr_expect_eq(recv(theirs[0], &byte, 1, 0), 0);
    wait_s(7);
    cr_expect_eq(recv(theirs[1], &byte, 1, 0), -1);
    wait_s(3);
    cr_assert_eq(recv(theirs[1], &byte, 1, 0), 1, "408");
    clock_replace(NULL, NULL);
}

static int turns[PEERS];
static unsigned n_turns;

/* The path is the number of the peer. Each uses up what the throttle counts at most. */
static void work_in_turn(struct http_conn *http_conn)
{
    if (!http_conn_take_turn(http_conn))
        return;
    turns[n_turns++] =
        http_conn_bytes(http_conn).bytes[http_conn_head(http_conn)->path.at + 1] - '0';
    conn_loop_count_work(&worker->loop, 1000000);
    http_conn_answer(http_conn, 204, NULL, NULL, SPAN_NONE);
}

Test(http_conn, has_the_turns_of_the_address_that_its_proxy_names)
{
    struct peers *peers;
    char *trusted = "unix:";
    const struct options of_proxies = {.trusted_proxy = {&trusted, 1}};
    char request[128];
    cr_assert_eq(hash_init(), ERR_OK);
    cr_assert_eq(peers_new(&of_proxies, &peers), ERR_OK);
    show_clock();
    route = work_in_turn;
    conn_loop_count_work(&worker->loop, 1000000);
    for (int i = 0; i < PEERS; i++) {
        struct peer *peer;
        cr_assert_eq(peer_arrive(peers, NULL, &peer), ERR_OK);
        atomic_fetch_add(&node.n_sockets, 1);
        cr_assert_eq(http_conn_new(worker, ours[i], peer, &(struct ip){0},
                                   worker_now_ms(worker) + 60000, &all),
                     ERR_OK);
        snprintf(request, sizeof request,
                 "POST /%d HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.%d\r\n\r\n", i,
                 i == PEERS - 1 ? 2 : 1);
        say(i, request);
        reactor_turn(worker->reactor, 0);
    }
    cr_assert_eq(n_turns, 0);
    while (n_turns < PEERS) {
        shown_us += 1000;
        reactor_turn(worker->reactor, 0);
    }
    for (unsigned i = 0; i < PEERS; i++)
        cr_expect_eq(turns[i], ((const int[PEERS]){0, PEERS - 1, 1, 2})[i]);
    http_conns_drop_all(&all);
    peers_free(peers);
    clock_replace(NULL, NULL);
}
