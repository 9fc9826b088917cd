/* Connections that have to wait for their turn, without memory for that. */
#include "gateway/base/hash.h"
#include "gateway/net/conn.h"
#include "tests/alloc/fail.h"
#include "tests/support/fake_clock.h"

#include <sys/socket.h>
#include <unistd.h>

enum { MANY_BYTES = CONN_READ_BYTES, TURNS = 100 };

struct peer {
    struct conn conn;
    size_t n_read;
    bool has_worked;
    bool is_gone;
};

static struct conn_loop loop;

/* A message of one byte asks for work. */
static size_t on_bytes(struct conn *conn, uint8_t *bytes, size_t len)
{
    struct peer *peer = CONTAINER_OF(conn, struct peer, conn);
    (void)bytes;
    if (len == 1 && !conn_take_turn(conn))
        return 0;
    peer->has_worked = peer->has_worked || len == 1;
    peer->n_read += len;
    return len;
}

static void on_gone(struct conn *conn, bool is_clean)
{
    (void)is_clean;
    CONTAINER_OF(conn, struct peer, conn)->is_gone = true;
    conn_abandon(conn);
}

static const struct conn_ops ops = {.on_bytes = on_bytes, .on_gone = on_gone};

static void turn(struct reactor *reactor)
{
    for (int i = 0; i < TURNS; i++) {
        fake_us += 1000;
        reactor_turn(reactor, 0);
    }
}

/* What is put off is done or its connection ends; what is only much is read in any case. */
static void ask_for_work(struct peer *peer, struct reactor *reactor, int theirs)
{
    conn_loop_count_work(&loop, 2 * CONN_WORK_US_PER_MS);
    CHECK(send(theirs, "w", 1, MSG_NOSIGNAL) == 1);
    turn(reactor);
    CHECK(peer->has_worked != peer->is_gone);
    CHECK(!peer->is_gone || fail_has_happened());
}

static void send_much(struct peer *peer, struct reactor *reactor, int theirs)
{
    static const char bytes[MANY_BYTES];
    conn_loop_count_work(&loop, 2 * CONN_WORK_US_PER_MS);
    for (int i = 0; i < 4; i++)
        CHECK(send(theirs, bytes, sizeof bytes, MSG_NOSIGNAL) == sizeof bytes);
    turn(reactor);
    CHECK(!peer->is_gone && peer->n_read == 4 * sizeof bytes);
}

static void come_and_go(struct reactor *reactor,
                        void (*act)(struct peer *peer, struct reactor *reactor, int theirs))
{
    struct peer peer = {0};
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    if (WENT_WELL(conn_open(&peer.conn, &loop, &ops,
                            (struct transport_socket){ends[0], &transport_plain}))) {
        act(&peer, reactor, ends[1]);
        if (!peer.is_gone)
            conn_abandon(&peer.conn);
        turn(reactor);
    } else {
        close(ends[0]);
    }
    close(ends[1]);
    CHECK(loop.throttle.addresses.table.n_links == 0);
}

static void run(void)
{
    struct reactor *reactor;
    if (!WENT_WELL(reactor_new(NULL, &reactor)))
        return;
    if (WENT_WELL(conn_loop_init(&loop, reactor))) {
        come_and_go(reactor, ask_for_work);
        come_and_go(reactor, send_much);
        conn_loop_fini(&loop);
    }
    reactor_free(reactor);
}

int main(void)
{
    CHECK(hash_init() == ERR_OK);
    stop_the_clock();
    fail_each("conn", run);
    return 0;
}
