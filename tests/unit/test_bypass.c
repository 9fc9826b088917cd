/* Connections of other kinds than 0 pass those of kind 0 where many of these are ready: on a loop
 * whose turns serve only some of them. */
#include "gateway/net/conn.h"
#include "tests/support/fake_clock.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CROWD = 200, PASSING = 3, PEERS = CROWD + PASSING };

struct peer {
    struct conn conn;
    int fd; /* the other end */
    unsigned n_reads;
    bool is_gone;
    struct peer *abandons; /* when it is read */
};

static struct reactor *reactor;
static struct conn_loop loop;
static struct peer peers[PEERS];
static struct peer *const passing = peers + CROWD;

static void abandon(struct peer *peer)
{
    conn_abandon(&peer->conn);
    peer->is_gone = true;
}

static size_t on_bytes(struct conn *conn, uint8_t *bytes, size_t len)
{
    struct peer *peer = CONTAINER_OF(conn, struct peer, conn);
    (void)bytes;
    peer->n_reads++;
    if (peer->abandons != NULL && !peer->abandons->is_gone)
        abandon(peer->abandons);
    return len;
}

static void on_gone(struct conn *conn, bool is_clean)
{
    (void)is_clean;
    abandon(CONTAINER_OF(conn, struct peer, conn));
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
        cr_assert_eq(conn_accept(&peers[i].conn, &loop, &ops, socket, NULL), ERR_OK);
        conn_set_kind(&peers[i].conn, i < CROWD ? 0 : 1);
        conn_begin(&peers[i].conn);
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

static void send_byte(const struct peer *peer)
{
    cr_assert_eq(send(peer->fd, "x", 1, MSG_NOSIGNAL), 1);
}

/* All of the crowd are ready, and the passing ones are behind them in epoll's order. */
static void turn_in_crowd(void)
{
    for (int i = 0; i < PEERS; i++) {
        if (!peers[i].is_gone)
            send_byte(&peers[i]);
    }
    reactor_turn(reactor, 0);
}

static unsigned reads_of_crowd(void)
{
    unsigned n = 0;
    for (int i = 0; i < CROWD; i++)
        n += peers[i].n_reads;
    return n;
}

TestSuite(bypass, .init = set_up, .fini = tear_down);

Test(bypass, reads_other_kinds_in_the_turn_in_which_they_become_ready)
{
    for (unsigned turn = 1; turn <= 20; turn++) {
        turn_in_crowd();
        for (int i = 0; i < PASSING; i++)
            cr_assert_geq(passing[i].n_reads, turn, "turn %u", turn);
    }
    cr_expect_lt(reads_of_crowd(), 20 * CROWD, "a turn serves only some");
    cr_expect_gt(reads_of_crowd(), 20 * 48);
}

Test(bypass, keeps_to_the_budget_of_a_turn)
{
    conn_spend_turn(&passing[0].conn, 2 * CONN_READ_BYTES);
    turn_in_crowd();
    cr_expect_eq(passing[0].n_reads + passing[1].n_reads, 0);
    for (int turn = 0; turn < 8; turn++)
        reactor_turn(reactor, 0);
    cr_expect_eq(passing[0].n_reads, 1, "what was passed over is read in its order");
    cr_expect_eq(passing[1].n_reads, 1);
}

Test(bypass, does_not_read_one_that_is_paused_or_gone)
{
    int fds[2];
    uint8_t *rest;
    size_t n_rest;
    conn_pause(&passing[0].conn);
    fds[0] = conn_release(&passing[1].conn, &rest, &n_rest).fd;
    fds[1] = passing[1].fd;
    passing[1].fd = -1;
    passing[1].is_gone = true;
    free(rest);
    cr_assert_eq(send(fds[1], "x", 1, MSG_NOSIGNAL), 1);
    for (int turn = 0; turn < 8; turn++)
        turn_in_crowd();
    cr_expect_eq(passing[0].n_reads, 0);
    cr_expect_eq(passing[1].n_reads, 0, "its socket is somebody else's");
    cr_expect_geq(passing[2].n_reads, 8);
    close(fds[0]);
    close(fds[1]);
}

Test(bypass, forgets_one_that_another_has_ended_in_the_same_look)
{
    passing[0].abandons = &passing[1];
    passing[1].abandons = &passing[0];
    turn_in_crowd();
    cr_expect_eq(passing[0].n_reads + passing[1].n_reads, 1);
    cr_expect_eq(passing[2].n_reads, 1);
}
