/* Bodies that come to the owner of a request in pieces, and answers that go out in pieces. */
#include "gateway/http/http_conn_parts.h"
#include "tests/unit/http_conn_peers.h"

#include <stdio.h>

static char body[65536];
static size_t body_len;
static size_t bite; /* taken of a piece */
static unsigned n_pieces, n_ends, n_gone, n_bad, n_half_closed, n_rooms;
static struct http_conn *owned;
static bool is_answered_at_end;

static size_t take_piece(struct http_conn *http_conn, struct span piece, bool is_last)
{
    cr_assert_eq(http_conn_owner(http_conn), body);
    size_t n = piece.len < bite ? piece.len : bite;
    if (n > 0)
        memcpy(body + body_len, piece.bytes, n);
    body_len += n;
    n_pieces++;
    if (!is_last || n < piece.len)
        return n;
    n_ends++;
    if (is_answered_at_end) {
        http_conn_keep(http_conn);
        http_conn_answer(http_conn, 200, "text/plain", NULL, SPAN_LITERAL("taken"));
    }
    return n;
}

static void on_bad_body(struct http_conn *http_conn, enum err error, const char *detail)
{
    n_bad++;
    http_conn_keep(http_conn); /* in vain */
    http_conn_refuse(http_conn, error, detail, NULL, NULL);
}

static void on_half_closed(struct http_conn *http_conn)
{
    (void)http_conn;
    n_half_closed++;
}

static void on_room(struct http_conn *http_conn)
{
    (void)http_conn;
    n_rooms++;
}

static void on_gone(struct http_conn *http_conn)
{
    cr_expect(http_conn_is_gone(http_conn));
    n_gone++;
}

static const struct http_request_ops ops = {.on_body = take_piece,
                                            .on_bad_body = on_bad_body,
                                            .on_half_closed = on_half_closed,
                                            .on_room = on_room,
                                            .on_gone = on_gone};

static void stream(struct http_conn *http_conn)
{
    const char *detail;
    owned = http_conn;
    http_conn_own(http_conn, &ops, body);
    enum err error = http_conn_take_body(http_conn, &detail);
    if (error != ERR_OK)
        http_conn_refuse(http_conn, error, detail, NULL, NULL);
}

static void set_up(void)
{
    peers_set_up();
    route = stream;
    is_answered_at_end = true;
    bite = SIZE_MAX;
}

TestSuite(http_conn_body, .init = set_up, .fini = peers_tear_down);

static void turn(void)
{
    for (int i = 0; i < 3; i++)
        reactor_turn(worker->reactor, 0);
}

static void turn_some_ms(void)
{
    for (int i = 0; i < 4; i++) {
        shown_us += 1000;
        reactor_turn(worker->reactor, 0);
    }
}

static const char *read_answer(int peer)
{
    static char text[65536];
    turn();
    ssize_t len = recv(theirs[peer], text, sizeof text - 1, 0);
    text[len > 0 ? len : 0] = '\0';
    return text;
}

static void expect_in_answer(int peer, const char *wanted)
{
    const char *answer = read_answer(peer);
    cr_expect_not_null(strstr(answer, wanted), "%s is not in %s", wanted, answer);
}

static void expect_body(const char *wanted)
{
    cr_expect(span_equal((struct span){body, body_len}, span_of(wanted)), "%.*s", (int)body_len,
              body);
    body_len = 0;
}

static bool has_ended(int peer)
{
    char byte;
    turn();
    return recv(theirs[peer], &byte, 1, 0) == 0;
}

#define PUSH    "POST /push HTTP/1.1\r\nHost: a\r\n"
#define CHUNKED "Transfer-Encoding: chunked\r\n"

/* ---- bodies ---- */

Test(http_conn_body, that_comes_with_its_head_is_one_piece_and_nothing_is_kept_of_it)
{
    arrive(0);
    for (int i = 0; i < 3; i++) {
        say(0, PUSH "Content-Length: 5\r\n\r\nhello");
        expect_in_answer(0, "Connection: keep-alive\r\nKeep-Alive: timeout=75\r\n");
        expect_body("hello");
    }
    cr_expect_eq(n_pieces, 3);
    cr_expect_null(owned->bytes.bytes);
    cr_expect_null(owned->fields);
    cr_expect_eq(all.n_lingering, 1, "it rests");
}

Test(http_conn_body, is_the_same_however_it_comes)
{
    static const char request[] =
        PUSH CHUNKED "\r\n5;x\r\nhello\r\n6\r\n world\r\n0\r\nX: y\r\n\r\n" LIVEZ "\r\n";
    size_t len = sizeof request - 1;
    for (size_t step = 1; step <= len; step++) {
        struct buf answers;
        buf_init(&answers, 4096);
        arrive(0);
        for (size_t at = 0; at < len; at += step) {
            size_t n = len - at < step ? len - at : step;
            cr_assert_eq(send(theirs[0], request + at, n, MSG_NOSIGNAL), (ssize_t)n);
            cr_assert_eq(buf_append_text(&answers, read_answer(0)), ERR_OK);
        }
        expect_body("hello world");
        cr_assert_eq(buf_append(&answers, "", 1), ERR_OK);
        const char *first = strstr(answers.bytes, "\r\n\r\ntaken");
        cr_assert_not_null(first, "%s", answers.bytes);
        cr_assert_not_null(strstr(first, "\r\n\r\nlive"), "%s", answers.bytes);
        buf_fini(&answers);
        http_conns_drop_all(&all);
        int ends[2];
        cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
        close(theirs[0]);
        ours[0] = ends[0];
        theirs[0] = ends[1];
    }
}

Test(http_conn_body, without_a_byte_ends_at_once)
{
    arrive(0);
    say(0, PUSH "\r\n");
    expect_in_answer(0, "taken");
    say(0, PUSH "Content-Length: 0\r\n\r\n");
    expect_in_answer(0, "taken");
    say(0, PUSH CHUNKED "\r\n0\r\n\r\n");
    expect_in_answer(0, "taken");
    cr_expect_eq(n_ends, 3);
    cr_expect_eq(body_len, 0);
}

Test(http_conn_body, is_told_to_come_when_its_client_waits_for_that)
{
    arrive(0);
    say(0, PUSH "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    cr_expect_str_eq(read_answer(0), "HTTP/1.1 100 Continue\r\n\r\n");
    say(0, "hello");
    expect_in_answer(0, "HTTP/1.1 200 OK\r\n");
    expect_body("hello");
    say(0, PUSH "Content-Length: 5\r\nExpect: 100-continue\r\n\r\nhello");
    expect_in_answer(0, "HTTP/1.1 200 OK\r\n");
    say(0, "POST /push HTTP/1.0\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    cr_expect_str_eq(read_answer(0), "");
}

Test(http_conn_body, waits_in_the_socket_while_its_owner_takes_nothing)
{
    show_clock();
    arrive(0);
    bite = 1;
    say(0, PUSH "Content-Length: 20\r\n\r\nhello");
    turn();
    cr_expect_eq(n_pieces, 1);
    say(0, " world");
    turn_some_ms();
    cr_expect_eq(n_pieces, 1);
    cr_expect(conn_has_unread(&owned->conn));
    wait_s(100);
    cr_expect_eq(n_bad, 0, "it does not stall while it is not wanted");
    for (unsigned n = 2; n < 5; n++) {
        http_conn_resume_body(owned);
        http_conn_resume_body(owned);
        turn_some_ms();
        cr_assert_eq(n_pieces, n);
    }
    bite = SIZE_MAX;
    http_conn_resume_body(owned);
    say(0, " and moon" LIVEZ "\r\n");
    turn_some_ms();
    expect_body("hello world and moon");
    expect_in_answer(0, "taken");
    expect_in_answer(0, "");
    cr_expect_eq(n_ends, 1);
    clock_replace(NULL, NULL);
}

Test(http_conn_body, that_is_malformed_is_refused_and_ends_the_connection)
{
    arrive(0);
    say(0, PUSH CHUNKED "\r\n5\r\nhello\n");
    expect_in_answer(0, "HTTP/1.1 400 ");
    cr_expect(has_ended(0));
    cr_expect_eq(n_bad, 1);
    arrive(1);
    say(1, PUSH "Transfer-Encoding: gzip, chunked\r\n\r\n");
    expect_in_answer(1, "HTTP/1.1 400 ");
    cr_expect_eq(n_gone, 0);
}

Test(http_conn_body, that_does_not_go_on_is_refused_in_time)
{
    show_clock();
    arrive(0);
    say(0, PUSH "Content-Length: 20\r\n\r\nhello");
    wait_s(9);
    say(0, "x");
    wait_s(9);
    cr_expect_eq(n_bad, 0, "the time runs from the last byte");
    wait_s(2);
    expect_in_answer(0, "HTTP/1.1 408 ");
    cr_expect_eq(n_bad, 1);
    clock_replace(NULL, NULL);
}

Test(http_conn_body, whose_client_goes_is_reported)
{
    arrive(0);
    say(0, PUSH "Content-Length: 20\r\n\r\nhello");
    shutdown(theirs[0], SHUT_WR);
    turn();
    cr_expect_eq(n_gone, 1);
    cr_expect_eq(n_half_closed, 0);
    cr_expect_eq(node.n_sockets, 0);
}

Test(http_conn_body, whose_request_is_refused_early_ends_the_connection)
{
    arrive(0);
    is_answered_at_end = false;
    say(0, PUSH "Content-Length: 20\r\n\r\nhello");
    turn();
    http_conn_keep(owned);
    http_conn_refuse(owned, ERR_TOO_LARGE, NULL, NULL, NULL);
    say(0, " and so on");
    expect_in_answer(0, "Connection: close\r\n");
    cr_expect(has_ended(0));
    cr_expect_eq(n_pieces, 1);
    cr_expect_eq(n_gone, 0, "it was answered");
}

/* ---- clients that go while their answer is due ---- */

Test(http_conn_body, is_answered_though_its_client_sends_no_more)
{
    arrive(0);
    is_answered_at_end = false;
    say(0, PUSH "Content-Length: 5\r\n\r\nhello");
    shutdown(theirs[0], SHUT_WR);
    turn();
    cr_expect_eq(n_half_closed, 1);
    http_conn_keep(owned);
    http_conn_answer(owned, 204, NULL, NULL, SPAN_NONE);
    expect_in_answer(0, "Connection: close\r\n");
    cr_expect(has_ended(0));
    cr_expect_eq(node.n_sockets, 0, "it does not wait for its peer, who has closed");
}

Test(http_conn_body, whose_client_has_gone_is_not_answered)
{
    arrive(0);
    is_answered_at_end = false;
    say(0, PUSH "Content-Length: 5\r\n\r\nhello");
    turn();
    close(theirs[0]);
    turn();
    cr_expect_eq(n_gone, 1);
    cr_expect_eq(node.n_sockets, 0);
    theirs[0] = -1;
}

/* ---- answers in pieces ---- */

static int64_t answer_len;

static void answer_in_pieces(struct http_conn *http_conn)
{
    owned = http_conn;
    http_conn_own(http_conn, &ops, body);
    http_conn_keep(http_conn);
    http_conn_begin_answer(http_conn, 200, "text/plain", NULL, answer_len);
    http_conn_send_piece(http_conn, SPAN_LITERAL("hello"), false);
    http_conn_await(http_conn);
}

static void expect_pieces(const char *request, const char *head, const char *end)
{
    n_rooms = 0;
    say(0, request);
    expect_in_answer(0, head);
    cr_expect_eq(n_rooms, 1);
    http_conn_send_piece(owned, SPAN_LITERAL(" world"), true);
    cr_expect_str_eq(read_answer(0), end);
}

Test(http_conn_body, is_answered_in_pieces)
{
    route = answer_in_pieces;
    arrive(0);
    answer_len = 11;
    expect_pieces("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "Content-Length: 11\r\n", " world");
    expect_pieces("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", "Content-Length: 11\r\n", "");
    answer_len = -1;
    expect_pieces("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "Transfer-Encoding: chunked\r\n",
                  "6\r\n world\r\n0\r\n\r\n");
    expect_pieces("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", "Transfer-Encoding: chunked\r\n", "");
    expect_pieces("GET / HTTP/1.0\r\n\r\n", "Connection: close\r\n", " world");
    cr_expect(has_ended(0));
    cr_expect_eq(n_gone, 0);
}

Test(http_conn_body, whose_answer_breaks_off_loses_its_connection)
{
    route = answer_in_pieces;
    answer_len = -1;
    arrive(0);
    say(0, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    expect_in_answer(0, "hello");
    http_conn_break_off(owned);
    cr_expect(has_ended(0));
    cr_expect_eq(n_gone, 0);
}

static void send_much(void)
{
    static char much[1 << 20];
    http_conn_send_piece(owned, (struct span){much, sizeof much}, true);
}

/* A client that reads slowly gets all of it; one that does not read is left. */
Test(http_conn_body, whose_answer_moves_is_not_ended)
{
    static char bytes[200000];
    route = answer_in_pieces;
    answer_len = 5 + (1 << 20);
    show_clock();
    arrive(0);
    arrive(1);
    say(0, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    turn();
    send_much();
    say(1, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    turn();
    send_much();
    turn();
    size_t got = 0;
    for (int i = 0; i < 100; i++) {
        ssize_t n = recv(theirs[0], bytes, 50000, 0);
        got += n > 0 ? (size_t)n : 0;
        wait_s(1);
    }
    cr_expect_gt(got, 1 << 20);
    cr_expect_eq(recv(theirs[0], bytes, 1, 0), 0, "the end");
    cr_expect_eq(node.n_sockets, 0);
    clock_replace(NULL, NULL);
}

/* ---- ends from within on_body ---- */

static bool breaks_off; /* else the answer begins, and is not read */

static size_t end_inside(struct http_conn *http_conn, struct span piece, bool is_last)
{
    n_pieces++;
    if (breaks_off) {
        http_conn_break_off(http_conn);
    } else if (is_last) {
        static char much[1 << 20];
        http_conn_keep(http_conn);
        http_conn_begin_answer(http_conn, 200, "text/plain", NULL, -1);
        http_conn_send_piece(http_conn, (struct span){much, sizeof much}, false);
    }
    return piece.len;
}

static const struct http_request_ops inside_ops = {.on_body = end_inside, .on_gone = on_gone};

static void stream_inside(struct http_conn *http_conn)
{
    const char *detail;
    http_conn_own(http_conn, &inside_ops, body);
    cr_assert_eq(http_conn_take_body(http_conn, &detail), ERR_OK);
}

Test(http_conn_body, is_not_offered_any_more_once_its_owner_has_broken_off)
{
    route = stream_inside;
    breaks_off = true;
    arrive(0);
    arrive(1);
    say(0, PUSH CHUNKED "\r\n2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n");
    say(1, PUSH CHUNKED "\r\n");
    turn();
    say(1, "2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n" PUSH "\r\n");
    cr_expect(has_ended(0));
    cr_expect(has_ended(1));
    cr_expect_eq(n_pieces, 2, "one each");
    cr_expect_eq(n_gone, 0);
    cr_expect_eq(node.n_sockets, 0);
}

Test(http_conn_body, whose_answer_begins_with_its_end_and_is_not_read_is_left)
{
    route = stream_inside;
    breaks_off = false;
    show_clock();
    arrive(0);
    say(0, PUSH "Content-Length: 5\r\n\r\nhello");
    turn();
    cr_expect_eq(node.n_sockets, 1);
    wait_s(21);
    cr_expect_eq(n_gone, 1);
    cr_expect_eq(node.n_sockets, 0);
    clock_replace(NULL, NULL);
}
