/* What a turn of a worker does for the requests of a port, and leaves to its sessions. Counted in
 * turns: no time passes. */
#define PEERS 40
#include "gateway/http/http_conn_parts.h"
#include "tests/unit/http_conn_peers.h"

enum { REQUESTS_PER_TURN = 16, READ_MAX_BYTES = TRANSPORT_ROOM_BYTES };

/* In place of a session. */
static struct conn session;
static int client;
static size_t n_taken;

static size_t take_all(struct conn *conn, uint8_t *bytes, size_t len)
{
    (void)conn, (void)bytes;
    n_taken += len;
    return len;
}

static const struct conn_ops session_ops = {.on_bytes = take_all};

static void set_up(void)
{
    int ends[2];
    peers_set_up();
    show_clock();
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    client = ends[1];
    cr_assert_eq(conn_open(&session, &worker->loop, &session_ops,
                           (struct transport_socket){ends[0], &transport_plain}),
                 ERR_OK);
    for (int i = 0; i < PEERS; i++)
        arrive(i);
}

static void tear_down(void)
{
    conn_abandon(&session);
    close(client);
    clock_replace(NULL, NULL);
    peers_tear_down();
}

TestSuite(http_conn_fair, .init = set_up, .fini = tear_down);

/* The session says a byte, and has it read in the same turn. */
static void turn_with_session(void)
{
    size_t before = n_taken;
    cr_assert_eq(send(client, "x", 1, MSG_NOSIGNAL), 1);
    reactor_turn(worker->reactor, 0);
    cr_assert_eq(n_taken, before + 1);
}

/* How many answers have come in this turn. */
static unsigned count_answers(void)
{
    bool goes_on;
    unsigned n = 0;
    for (int i = 0; i < PEERS; i++)
        n += take_answers(i, &goes_on);
    return n;
}

static void expect_answers(unsigned n_wanted)
{
    unsigned n = 0;
    for (int turns = 0; n < n_wanted; turns++) {
        cr_assert_lt(turns, 2 * PEERS);
        turn_with_session();
        unsigned now = count_answers();
        cr_assert_leq(now, REQUESTS_PER_TURN);
        n += now;
    }
    cr_expect_eq(n, n_wanted);
}

Test(http_conn_fair, serves_a_few_requests_a_turn_and_each_session)
{
    for (int i = 0; i < PEERS; i++)
        say(i, LIVEZ "\r\n");
    turn_with_session();
    cr_expect_eq(count_answers(), REQUESTS_PER_TURN);
    expect_answers(PEERS - REQUESTS_PER_TURN);
}

Test(http_conn_fair, serves_no_more_of_them_if_they_are_sent_ahead)
{
    for (int i = 0; i < PEERS; i++)
        say(i, LIVEZ "\r\n" LIVEZ "\r\n" LIVEZ "\r\n");
    expect_answers(3 * PEERS);
}

static struct http_conn *streamed;
static size_t n_body;

static size_t take_piece(struct http_conn *http_conn, struct span piece, bool is_last)
{
    (void)http_conn, (void)is_last;
    n_body += piece.len;
    return piece.len;
}

static const struct http_request_ops ops = {.on_body = take_piece};

static void stream(struct http_conn *http_conn)
{
    const char *detail;
    streamed = http_conn;
    http_conn_own(http_conn, &ops, &n_body);
    cr_assert_eq(http_conn_take_body(http_conn, &detail), ERR_OK);
}

/* As much as the socket takes. */
static void upload(int peer)
{
    static const char bytes[65536];
    while (send(theirs[peer], bytes, sizeof bytes, MSG_NOSIGNAL) > 0) {
    }
}

Test(http_conn_fair, reads_an_upload_in_each_turn_and_leaves_each_turn_to_the_sessions)
{
    route = stream;
    say(0, "POST /push HTTP/1.1\r\nHost: a\r\nContent-Length: 104857600\r\n\r\n");
    for (int turn = 0; turn < 100; turn++) {
        size_t before = n_body;
        upload(0);
        turn_with_session();
        cr_assert_leq(n_body - before, READ_MAX_BYTES);
        cr_assert(turn == 0 || n_body > before, "it is not throttled");
    }
}

Test(http_conn_fair, answers_others_while_uploads_come)
{
    route = stream;
    for (int i = 1; i < PEERS; i++)
        say(i, "POST /push HTTP/1.1\r\nHost: a\r\nContent-Length: 104857600\r\n\r\n");
    for (int turn = 0; turn < 4; turn++)
        turn_with_session();
    say(0, LIVEZ "\r\n");
    unsigned n = 0;
    int turns = 0;
    for (; turns < PEERS && n == 0; turns++) {
        size_t before = n_body;
        for (int i = 1; i < PEERS; i++)
            upload(i);
        turn_with_session();
        cr_assert_leq(n_body - before, 3 * READ_MAX_BYTES);
        n = count_answers();
    }
    cr_expect_eq(n, 1, "within a round of the others");
}

/* The other way round: sessions that send without end. */
Test(http_conn_fair, answers_in_the_turn_although_sessions_flood)
{
    static const char bytes[65536];
    for (int turn = 0; turn < 10; turn++) {
        bool goes_on;
        while (send(client, bytes, sizeof bytes, MSG_NOSIGNAL) > 0) {
        }
        conn_count_read(&session, 2 * CONN_READ_BYTES);
        say(0, LIVEZ "\r\n");
        reactor_turn(worker->reactor, 0);
        cr_assert_eq(take_answers(0, &goes_on), 1);
    }
}
