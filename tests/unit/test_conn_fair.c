/* Fair shares of a loop turn among plain connections that send without end. */
#include "gateway/net/conn.h"

#include <criterion/criterion.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PEERS = 12, FILL_BYTES = 64 * 1024, TURN_BYTES = 32 * 1024 };

struct peer {
    struct conn conn;
    int fd; /* the client's end */
    size_t n_taken;
    bool is_gone;
};

static struct reactor *reactor;
static struct conn_loop loop;
static struct peer peers[PEERS];

static size_t on_bytes(struct conn *conn, uint8_t *bytes, size_t len)
{
    (void)bytes;
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
    cr_assert_eq(reactor_new(&reactor), ERR_OK);
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
}

static void fill_all(void)
{
    static const char bytes[FILL_BYTES];
    for (int i = 0; i < PEERS; i++) {
        ssize_t sent = send(peers[i].fd, bytes, sizeof bytes, MSG_NOSIGNAL);
        (void)sent; /* what does not fit is not needed: it is full then */
    }
}

static size_t all_taken(void)
{
    size_t n = 0;
    for (int i = 0; i < PEERS; i++)
        n += peers[i].n_taken;
    return n;
}

TestSuite(conn_fair, .init = set_up, .fini = tear_down);

Test(conn_fair, a_turn_reads_a_bounded_share_of_what_has_come)
{
    for (int turn = 0; turn < 20; turn++) {
        size_t before = all_taken();
        fill_all();
        reactor_turn(reactor, 0);
        cr_expect_leq(all_taken() - before, TURN_BYTES + CONN_READ_BYTES);
        cr_expect_geq(all_taken() - before, TURN_BYTES);
    }
}

Test(conn_fair, nobody_is_left_out_while_all_send_without_end)
{
    for (int turn = 0; turn < 10 * PEERS; turn++) {
        fill_all();
        reactor_turn(reactor, 0);
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
        reactor_turn(reactor, 0);
    for (int i = 0; i < PEERS; i++) {
        cr_expect_eq(peers[i].n_taken, FILL_BYTES);
        cr_expect(peers[i].is_gone);
    }
}
