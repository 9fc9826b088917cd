/* Fair shares of a loop turn and of a millisecond among plain connections that send without end. */
#include "gateway/base/metrics.h"
#include "gateway/net/conn.h"
#include "tests/support/fake_clock.h"

#include <criterion/criterion.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PEERS = 12, FILL_BYTES = 64 * 1024, TURN_BYTES = 32 * 1024, MS_BYTES = 32 * 1024 };
enum { LIGHT_BYTES = 4095 }; /* one byte more at once, and it would be a busy one's read */

struct peer {
    struct conn conn;
    int fd; /* the client's end */
    size_t n_sent;
    size_t n_taken;
    bool is_gone;
};

static struct reactor *reactor;
static struct conn_loop loop;
static struct peer peers[PEERS];

/* Time passes here and nowhere else. */
static void turn_after_ms(int64_t ms)
{
    fake_us += 1000 * ms;
    reactor_turn(reactor, 0);
}

static bool leaves_a_byte; /* of each read, as of a message that is not complete */

static size_t on_bytes(struct conn *conn, uint8_t *bytes, size_t len)
{
    (void)bytes;
    len -= leaves_a_byte;
    CONTAINER_OF(conn, struct peer, conn)->n_taken += len;
    return len;
}

static void on_gone(struct conn *conn, bool is_clean)
{
    (void)is_clean;
    CONTAINER_OF(conn, struct peer, conn)->is_gone = true;
    conn_abandon(conn);
}

static const struct conn_ops ops = {.on_bytes = on_bytes, .on_gone = on_gone};

static void set_up(void)
{
    stop_the_clock();
    cr_assert_eq(reactor_new(NULL, &reactor), ERR_OK);
    cr_assert_eq(conn_loop_init(&loop, reactor), ERR_OK);
    for (int i = 0; i < PEERS; i++) {
        int ends[2];
        cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
        struct transport_socket socket = {ends[0], &transport_plain};
        peers[i] = (struct peer){.fd = ends[1]};
        cr_assert_eq(conn_open(&peers[i].conn, &loop, &ops, socket), ERR_OK);
    }
}

static void tear_down(void)
{
    for (int i = 0; i < PEERS; i++) {
        if (!peers[i].is_gone)
            conn_abandon(&peers[i].conn);
        close(peers[i].fd);
    }
    conn_loop_fini(&loop);
    reactor_free(reactor);
    let_the_clock_go();
}

static void fill(struct peer *peer)
{
    static const char bytes[FILL_BYTES];
    ssize_t sent = send(peer->fd, bytes, sizeof bytes, MSG_NOSIGNAL);
    peer->n_sent += sent > 0 ? (size_t)sent : 0; /* it is full then */
}

static void fill_all(void)
{
    for (int i = 0; i < PEERS; i++)
        fill(&peers[i]);
}

static void send_bytes(struct peer *peer, size_t len)
{
    static const char bytes[FILL_BYTES];
    cr_assert_eq(send(peer->fd, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
    peer->n_sent += len;
}

static size_t all_taken(void)
{
    size_t n = 0;
    for (int i = 0; i < PEERS; i++)
        n += peers[i].n_taken;
    return n;
}

/* They wait in the throttle, and have more to read. */
static void make_busy(int n_peers)
{
    for (int turn = 0; turn < 20; turn++) {
        for (int i = 0; i < n_peers; i++)
            fill(&peers[i]);
        turn_after_ms(1);
    }
    for (int i = 0; i < n_peers; i++)
        cr_assert(peers[i].conn.watch.flags & CONN_BUSY);
}

TestSuite(conn_fair, .init = set_up, .fini = tear_down);

Test(conn_fair, a_turn_reads_a_bounded_share_of_what_has_come)
{
    for (int turn = 0; turn < 20; turn++) {
        size_t before = all_taken();
        for (int i = 0; i < PEERS; i++)
            send_bytes(&peers[i], LIGHT_BYTES);
        reactor_turn(reactor, 0);
        cr_expect_leq(all_taken() - before, TURN_BYTES + LIGHT_BYTES);
        cr_expect_geq(all_taken() - before, TURN_BYTES);
        turn_after_ms(1);
        turn_after_ms(1);
    }
}

Test(conn_fair, busy_ones_share_what_a_millisecond_allows)
{
    int64_t throttled = metrics_read(METRIC_THROTTLED);
    make_busy(PEERS);
    cr_expect_eq(metrics_read(METRIC_THROTTLED), throttled + PEERS);
    size_t first = all_taken();
    for (int ms = 0; ms < 20; ms++) {
        size_t before = all_taken();
        for (int turn = 0; turn < 10; turn++) {
            fill_all();
            turn_after_ms(turn == 0);
        }
        cr_expect_leq(all_taken() - before, MS_BYTES + CONN_READ_BYTES);
    }
    cr_expect_leq(all_taken() - first, 20 * MS_BYTES + CONN_READ_BYTES);
    cr_expect_geq(all_taken() - first, 20 * MS_BYTES * 9 / 10);
}

Test(conn_fair, what_was_not_used_does_not_come_back_as_a_burst)
{
    turn_after_ms(60000);
    for (int turn = 0; turn < 10; turn++) {
        fill(&peers[0]);
        reactor_turn(reactor, 0);
    }
    cr_expect_leq(all_taken(), MS_BYTES + CONN_READ_BYTES);
}

Test(conn_fair, what_was_read_beyond_the_share_is_waited_for_but_not_for_long)
{
    size_t debts_ms[] = {4, 1000000}, waited_ms[] = {4, THROTTLE_DEBT_MS};
    for (int i = 0; i < 2; i++) {
        make_busy(PEERS);
        throttle_charge(&loop.throttle, debts_ms[i] * MS_BYTES);
        size_t before = all_taken();
        for (size_t ms = 0; ms + 1 < waited_ms[i]; ms++)
            turn_after_ms(1);
        cr_expect_eq(all_taken(), before);
        turn_after_ms(1);
        turn_after_ms(1);
        cr_expect_gt(all_taken(), before);
    }
}

Test(conn_fair, one_that_sends_little_does_not_wait_for_those_that_send_much)
{
    struct peer *light = &peers[PEERS - 1];
    make_busy(PEERS - 1);
    for (int turn = 0; turn < 20; turn++) {
        send_bytes(light, 100);
        reactor_turn(reactor, 0); /* in the same millisecond */
        cr_expect_eq(light->n_taken, 100 * ((size_t)turn + 1));
    }
}

Test(conn_fair, one_that_has_stopped_sending_much_is_read_at_once_again)
{
    make_busy(PEERS);
    for (int turn = 0; turn < 200; turn++)
        turn_after_ms(1);
    for (int turn = 0; turn < 5; turn++) {
        for (int i = 0; i < PEERS; i++)
            send_bytes(&peers[i], 10);
        reactor_turn(reactor, 0);
        for (int i = 0; i < PEERS; i++)
            cr_expect_eq(peers[i].n_taken, peers[i].n_sent);
    }
}

Test(conn_fair, nobody_is_left_out_while_all_send_without_end)
{
    for (int turn = 0; turn < 10 * PEERS; turn++) {
        fill_all();
        turn_after_ms(1);
    }
    size_t fair = all_taken() / PEERS;
    for (int i = 0; i < PEERS; i++) {
        cr_expect_gt(peers[i].n_taken, fair / 2, "connection %d: %zu of %zu", i, peers[i].n_taken,
                     fair);
    }
}

Test(conn_fair, what_a_turn_leaves_is_read_later)
{
    fill_all();
    for (int i = 0; i < PEERS; i++)
        shutdown(peers[i].fd, SHUT_WR);
    for (int turn = 0; turn < 200; turn++)
        turn_after_ms(1);
    for (int i = 0; i < PEERS; i++) {
        cr_expect_eq(peers[i].n_taken, FILL_BYTES);
        cr_expect(peers[i].is_gone);
    }
}

Test(conn_fair, one_that_leaves_while_it_waits_is_read_to_its_end_without_waiting)
{
    leaves_a_byte = true;
    make_busy(PEERS);
    for (int i = 0; i < PEERS; i++) {
        close(peers[i].fd);
        peers[i].fd = -1;
    }
    for (int turn = 0; turn < 500; turn++)
        reactor_turn(reactor, 0);
    turn_after_ms(100); /* the throttle has nobody left */
    for (int i = 0; i < PEERS; i++) {
        cr_expect_eq(peers[i].n_taken, peers[i].n_sent - 1);
        cr_expect(peers[i].is_gone);
    }
}

Test(conn_fair, one_that_is_paused_or_abandoned_while_it_waits_is_not_read_any_more)
{
    make_busy(PEERS);
    for (int i = 0; i < PEERS / 2; i++) {
        conn_pause(&peers[i].conn);
        peers[i].n_taken = 0;
    }
    for (int i = PEERS / 2; i < PEERS; i++) {
        conn_abandon(&peers[i].conn);
        peers[i].is_gone = true;
        peers[i].n_taken = 0;
    }
    for (int turn = 0; turn < 50; turn++)
        turn_after_ms(1);
    cr_expect_eq(all_taken(), 0);
}

/* ---- one that wants to write before it can read ---- */

static unsigned n_reads;

/* As where each byte of a TLS client asks for answers below HTTP, which the socket does not take.
 */
static enum transport_state want_write(struct transport *transport, int fd, uint8_t *bytes,
                                       struct transport_read *ret_read)
{
    (void)transport;
    (void)fd;
    (void)bytes;
    n_reads++;
    *ret_read = (struct transport_read){.cost_bytes = MS_BYTES};
    return TRANSPORT_WANTS_WRITE;
}

static void take_some(struct peer *peer)
{
    static char bytes[FILL_BYTES];
    cr_assert_gt(recv(peer->fd, bytes, sizeof bytes, 0), 0);
}

Test(conn_fair, one_that_wants_to_write_has_no_turn_before_its_own_whenever_its_peer_reads)
{
    static char answers[16 * FILL_BYTES];
    struct transport_ops talks = *transport_plain.ops;
    struct transport talker = {&talks};
    talks.read = want_write;
    peers[0].conn.transport = &talker;
    cr_assert_eq(conn_write_bytes(&peers[0].conn, answers, sizeof answers), ERR_OK);
    reactor_turn(reactor, 0);
    send_bytes(&peers[0], 1);
    reactor_turn(reactor, 0);
    cr_expect_eq(n_reads, 1);
    cr_assert(peers[0].conn.watch.flags & CONN_BUSY);
    cr_assert(peers[0].conn.watch.flags & CONN_BLOCKED);
    for (int turn = 0; turn < 8; turn++) {
        take_some(&peers[0]);
        reactor_turn(reactor, 0);
    }
    cr_expect_eq(n_reads, 1);
    turn_after_ms(40);
    turn_after_ms(40);
    cr_expect_gt(n_reads, 1);
    conn_abandon(&peers[0].conn);
    peers[0].is_gone = true;
}

/* ---- who is written first ---- */

static int written[PEERS]; /* the sockets, in order */
static unsigned n_written;

static enum transport_state note_write(struct transport *transport, int fd,
                                       const struct iovec *iovecs, size_t n, size_t *ret_len)
{
    written[n_written++] = fd;
    return transport_plain.ops->write(transport, fd, iovecs, n, ret_len);
}

Test(conn_fair, writes_other_kinds_after_the_first_though_they_were_marked_before)
{
    static struct transport_ops noting;
    static struct transport transport = {&noting};
    noting = *transport_plain.ops;
    noting.write = note_write;
    conn_set_kind(&peers[1].conn, 1);
    for (int i = 0; i < 4; i++) {
        peers[i].conn.transport = &transport;
        cr_assert_eq(conn_write_bytes(&peers[i].conn, "x", 1), ERR_OK);
    }
    turn_after_ms(0);
    static const int order[] = {0, 2, 3, 1};
    cr_assert_eq(n_written, 4);
    for (int i = 0; i < 4; i++)
        cr_expect_eq(written[i], peers[order[i]].conn.watch.fd);
}

/* ---- kinds, and what is not throttled ---- */

static size_t taken_by(int first, int n)
{
    size_t sum = 0;
    for (int i = first; i < first + n; i++)
        sum += peers[i].n_taken;
    return sum;
}

Test(conn_fair, has_a_budget_for_each_kind_in_a_turn)
{
    for (int i = 0; i < PEERS; i++) {
        conn_set_kind(&peers[i].conn, (unsigned)i / 4);
        fill(&peers[i]);
    }
    turn_after_ms(1);
    for (int kind = 0; kind < CONN_KINDS; kind++)
        cr_expect_eq(taken_by(4 * kind, 4), TURN_BYTES, "%d", kind);
}

Test(conn_fair, counts_work_for_the_budget_of_its_kind)
{
    conn_set_kind(&peers[1].conn, 1);
    cr_assert(conn_has_turn(&peers[1].conn));
    conn_spend_turn(&peers[1].conn, TURN_BYTES);
    cr_expect_not(conn_has_turn(&peers[1].conn));
    cr_expect(conn_has_turn(&peers[0].conn));
    turn_after_ms(0);
    cr_expect(conn_has_turn(&peers[1].conn), "it is another turn");
}

/* Time stands still, so the others wait in the throttle. */
Test(conn_fair, does_not_throttle_a_connection_of_somebody_trusted)
{
    conn_set_kind(&peers[0].conn, 1);
    conn_set_bulk(&peers[0].conn, true);
    for (int i = 0; i < 4; i++)
        fill(&peers[i]);
    for (int turn = 0; turn < 4; turn++)
        turn_after_ms(0);
    cr_expect_eq(peers[0].n_taken, FILL_BYTES);
    cr_expect_lt(taken_by(1, 3), 3 * FILL_BYTES);
    conn_set_bulk(&peers[0].conn, false);
    for (int turn = 0; turn < 8; turn++) {
        fill(&peers[0]);
        turn_after_ms(0);
    }
    cr_expect_lt(peers[0].n_taken, 2 * FILL_BYTES);
}
