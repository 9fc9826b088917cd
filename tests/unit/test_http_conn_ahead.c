/* What a client sends after a request and before the answer: bodies that are not read, requests. */
#include "gateway/http/http_conn_parts.h"
#include "tests/unit/http_conn_peers.h"

TestSuite(http_conn_ahead, .init = peers_set_up, .fini = peers_tear_down);

Test(http_conn_ahead, passes_a_short_body_over_and_finds_the_next_request_after_it)
{
    arrive(0);
    cr_assert(goes_on_after(0, LIVEZ "Content-Length: 5\r\n\r\n12345"));
    cr_assert(goes_on_after(0, LIVEZ "Content-Length: 5\r\n\r\n12"));
    cr_expect_eq(all.n_lingering, 0, "it does not rest inside of a body");
    say(0, "345");
    reactor_turn(worker->reactor, 0);
    cr_expect_eq(all.n_lingering, 1);
    cr_assert(goes_on_after(0, LIVEZ "Content-Length: 1\r\n\r\n"));
    cr_assert(goes_on_after(0, "x" LIVEZ "\r\n"));
}

/* One answer a request, though its body does not come. */
Test(http_conn_ahead,
     ends_without_a_second_answer_when_the_body_of_an_answered_request_does_not_come)
{
    char byte;
    show_clock();
    arrive(0);
    cr_assert(goes_on_after(0, LIVEZ "Content-Length: 5\r\n\r\n12"));
    wait_s(9);
    cr_expect_eq(recv(theirs[0], &byte, 1, 0), -1);
    wait_s(2);
    cr_expect_eq(recv(theirs[0], &byte, 1, 0), 0, "the end, and no 408");
    clock_replace(NULL, NULL);
}

/* It rests once its answer is written, and not when its body has passed by before that. */
Test(http_conn_ahead, does_not_rest_before_its_answer_is_written)
{
    bool is_unwritten = false;
    bool goes_on;
    arrive(0);
    while (!is_unwritten) { /* its peer reads nothing */
        say(0, LIVEZ "Content-Length: 5\r\n\r\n12");
        reactor_turn(worker->reactor, 0);
        cr_assert_not(list_is_empty(&all.open), "it is inside of a body");
        const struct http_conn *http_conn =
            CONTAINER_OF(all.open.next, const struct http_conn, link);
        is_unwritten = http_conn_unsent(http_conn) > 0;
        say(0, "345");
        reactor_turn(worker->reactor, 0);
    }
    cr_expect_eq(all.n_lingering, 0);
    for (int i = 0; i < 10; i++) {
        while (take_answers(0, &goes_on) > 0) {
        }
        reactor_turn(worker->reactor, 0);
    }
    cr_expect_eq(all.n_lingering, 1);
    cr_expect(goes_on_after(0, LIVEZ "\r\n"));
}

/* A client that sends many requests at once waits for its turn with each. */
Test(http_conn_ahead, answers_one_request_a_turn_and_each_of_them)
{
    char many[20 * sizeof(LIVEZ "\r\n")] = "";
    unsigned n = 0;
    bool goes_on = false;
    for (int i = 0; i < 20; i++)
        memcpy(many + strlen(many), LIVEZ "\r\n", sizeof(LIVEZ "\r\n"));
    arrive(0);
    say(0, many);
    for (int i = 0; i < 25; i++) {
        reactor_turn(worker->reactor, 0);
        unsigned now = take_answers(0, &goes_on);
        cr_assert_leq(now, 1);
        n += now;
    }
    cr_assert_eq(n, 20);
    cr_assert(goes_on);
}

enum { AHEAD = 12000 }; /* requests: much more than a socket holds */

/* Sends as much of them as the socket takes. */
static void send_ahead(int peer, const char *request, size_t n, size_t *sent)
{
    size_t len = strlen(request);
    ssize_t got = 0;
    while (got >= 0 && *sent < n * len) {
        size_t at = *sent % len;
        got = send(theirs[peer], request + at, len - at, MSG_NOSIGNAL);
        *sent += got > 0 ? (size_t)got : 0;
    }
}

static void turn_of_a_ms(void)
{
    shown_us += 1000;
    reactor_turn(worker->reactor, 0);
}

static void answer_waiting(void)
{
    http_conn_keep(waiting);
    http_conn_answer(waiting, 204, NULL, NULL, SPAN_NONE);
    http_conn_unpin(waiting);
}

Test(http_conn_ahead, leaves_unread_what_is_sent_far_ahead_and_answers_each_of_it_in_its_turn)
{
    size_t sent = 0;
    unsigned n = 0;
    bool goes_on = false;
    arrive(0);
    route = answer_later;
    say(0, "POST /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    reactor_turn(worker->reactor, 0);
    for (int i = 0; i < 50; i++) {
        send_ahead(0, LIVEZ "\r\n", AHEAD, &sent);
        reactor_turn(worker->reactor, 5);
    }
    cr_assert_lt(sent, AHEAD * strlen(LIVEZ "\r\n"), "it waits in the socket");
    cr_assert(conn_has_unread(&waiting->conn));
    answer_waiting();
    for (int i = 0; i < 100000 && n < AHEAD; i++) {
        send_ahead(0, LIVEZ "\r\n", AHEAD, &sent);
        reactor_turn(worker->reactor, 1);
        n += take_answers(0, &goes_on);
    }
    cr_assert_eq(n, AHEAD);
    cr_assert(goes_on);
    cr_assert_eq(all.n_lingering, 1, "it rests");
}

/* A socket that is closed with something unread in it takes the answer along. */
Test(http_conn_ahead, ends_after_an_answer_though_much_was_sent_ahead)
{
    char bytes[4096];
    size_t sent = 0;
    show_clock();
    arrive(0);
    route = answer_later;
    say(0, "POST /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    reactor_turn(worker->reactor, 0);
    for (int i = 0; i < 50; i++) {
        send_ahead(0, LIVEZ "\r\n", 100 * AHEAD, &sent);
        turn_of_a_ms();
    }
    atomic_store(&node.is_draining, true);
    answer_waiting();
    for (int i = 0; i < 200; i++)
        turn_of_a_ms();
    ssize_t len = recv(theirs[0], bytes, sizeof bytes - 1, 0);
    cr_assert_gt(len, 0);
    bytes[len] = '\0';
    cr_expect(strstr(bytes, "HTTP/1.1 204 ") == bytes, "%s", bytes);
    cr_expect_not_null(strstr(bytes, "Connection: close\r\n"), "%s", bytes);
    cr_expect_eq(recv(theirs[0], bytes, sizeof bytes, 0), 0, "the end");
    cr_expect_not(conn_has_unread(&waiting->conn), "it is thrown away");
    clock_replace(NULL, NULL);
}

/* ---- as much at once as TLS may bring ---- */

static enum transport_state read_records(struct transport *transport, int fd, uint8_t *bytes,
                                         struct transport_read *ret_read)
{
    (void)transport;
    *ret_read = (struct transport_read){0};
    ssize_t got = recv(fd, bytes, TRANSPORT_ROOM_BYTES, 0);
    if (got <= 0)
        return got == 0 ? TRANSPORT_CLOSED : TRANSPORT_WANTS_READ;
    ret_read->len = (size_t)got;
    return TRANSPORT_MOVED;
}

static void say_much(int peer, size_t len)
{
    static char bytes[TRANSPORT_ROOM_BYTES];
    memset(bytes, 'x', sizeof bytes);
    cr_assert_eq(send(theirs[peer], bytes, len, MSG_NOSIGNAL), (ssize_t)len);
}

Test(http_conn_ahead, has_room_for_a_read_after_the_one_that_ends_its_head)
{
    static struct transport_ops records;
    static struct transport transport = {&records};
    char answer[64];
    static const char end[] = "\r\n\r\n";
    records = *transport_plain.ops;
    records.read = read_records;
    route = answer_later;
    arrive(0);
    CONTAINER_OF(all.heads.next, struct http_conn, link)->conn.transport = &transport;
    say(0, "POST /slow HTTP/1.1\r\nHost: a\r\nX: ");
    say_much(0, HTTP_HEAD_USUAL_BYTES - 100);
    reactor_turn(worker->reactor, 0);
    say(0, end);
    say_much(0, TRANSPORT_ROOM_BYTES - strlen(end));
    reactor_turn(worker->reactor, 0);
    cr_assert_not_null(waiting);
    say_much(0, TRANSPORT_ROOM_BYTES);
    for (int i = 0; i < 3; i++)
        reactor_turn(worker->reactor, 0);
    cr_assert(!http_conn_is_gone(waiting));
    http_conn_answer(waiting, 204, NULL, NULL, SPAN_NONE);
    http_conn_unpin(waiting);
    reactor_turn(worker->reactor, 0);
    cr_expect_gt(recv(theirs[0], answer, sizeof answer, 0), 0);
}

static unsigned n_bodies;

static void on_body(struct http_conn *http_conn, struct span body)
{
    (void)body;
    n_bodies++;
    http_conn_answer(http_conn, 204, NULL, NULL, SPAN_NONE);
}

enum { BODY_BYTES = 60000 };

static void ask_or_want_body(struct http_conn *http_conn)
{
    const char *bytes = http_conn_bytes(http_conn).bytes;
    struct span path = http_part_span(bytes, http_conn_head(http_conn)->path);
    if (span_equal(path, SPAN_LITERAL("/body"))) {
        http_conn_want_body(http_conn, BODY_BYTES, on_body);
    } else {
        http_conn_keep(http_conn);
        answer_later(http_conn);
    }
}

Test(http_conn_ahead, reads_on_where_a_body_is_wanted_though_there_was_no_room_after_the_last)
{
    route = ask_or_want_body;
    arrive(0);
    say(0, "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    reactor_turn(worker->reactor, 0);
    cr_assert_not_null(waiting);
    say(0, "POST /body HTTP/1.1\r\nHost: a\r\n\r\n");
    for (int sent = 0; sent < BODY_BYTES; sent += BODY_BYTES / 5) {
        say_much(0, BODY_BYTES / 5);
        reactor_turn(worker->reactor, 0);
    }
    http_conn_answer(waiting, 204, NULL, NULL, SPAN_NONE);
    http_conn_unpin(waiting);
    show_clock();
    wait_s(1);
    cr_expect_eq(n_bodies, 1);
    clock_replace(NULL, NULL);
}

/* ---- requests whose bodies come in pieces ---- */

static size_t take_piece(struct http_conn *http_conn, struct span piece, bool is_last)
{
    if (is_last) {
        http_conn_keep(http_conn);
        http_conn_answer(http_conn, 200, "text/plain", NULL, SPAN_LITERAL("taken"));
    }
    return piece.len;
}

static void stream(struct http_conn *http_conn)
{
    static const struct http_request_ops ops = {.on_body = take_piece};
    const char *detail;
    http_conn_own(http_conn, &ops, &n_bodies);
    cr_assert_eq(http_conn_take_body(http_conn, &detail), ERR_OK);
}

/* Taking a body resumes the reading, also where the body is held already. */
Test(http_conn_ahead, answers_each_of_the_streamed_bodies_that_are_sent_far_ahead)
{
    static const char push[] = "POST /push HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n12345";
    enum { PUSHES = 2000 };
    size_t sent = 0;
    unsigned n = 0;
    bool goes_on = false;
    route = stream;
    arrive(0);
    for (int i = 0; i < 20 * PUSHES && n < PUSHES; i++) {
        send_ahead(0, push, PUSHES, &sent);
        reactor_turn(worker->reactor, 1);
        n += take_answers(0, &goes_on);
        cr_assert_eq(node.n_sockets, 1, "it is closed after %u answers", n);
    }
    cr_assert_eq(n, PUSHES);
    cr_assert(goes_on);
}

Test(http_conn_ahead, answers_all_that_was_sent_before_the_peer_ended_its_side)
{
    char bytes[4096];
    unsigned n = 0;
    bool goes_on = false;
    arrive(0);
    say(0, LIVEZ "\r\n" LIVEZ "\r\n" LIVEZ "\r\n");
    shutdown(theirs[0], SHUT_WR);
    for (int i = 0; i < 20; i++) {
        reactor_turn(worker->reactor, 1);
        n += take_answers(0, &goes_on);
    }
    cr_expect_eq(n, 3);
    cr_expect_eq(recv(theirs[0], bytes, sizeof bytes, 0), 0, "the end");
}
