/* Connections over TLS whose clients run in the same thread, on a clock that stands: for
 * test_conn_tls.c and test_tls_handshakes.c. */
#ifndef HERALD_TESTS_TLS_CONN_H
#define HERALD_TESTS_TLS_CONN_H

#include "gateway/base/hash.h"
#include "gateway/base/metrics.h"
#include "gateway/net/conn.h"
#include "tests/support/fake_clock.h"
#include "tests/unit/tls_peer.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

static struct reactor *reactor;
static struct conn_loop loop;
static struct tls_context *context;
static SSL_CTX *client_ctx;

/* One connection of ours and its client. */
struct peer {
    struct conn conn;
    SSL *client;
    int fd; /* the client's end */
    size_t n_taken;
    uint32_t sum; /* of the bytes that were taken */
    bool is_gone;
    bool is_clean;
    unsigned n_drained;
};

static inline uint32_t add(uint32_t sum, const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        sum = sum * 31 + bytes[i];
    return sum;
}

static inline size_t on_bytes(struct conn *conn, uint8_t *bytes, size_t len)
{
    struct peer *peer = CONTAINER_OF(conn, struct peer, conn);
    peer->n_taken += len;
    peer->sum = add(peer->sum, bytes, len);
    return len;
}

static inline void on_drained(struct conn *conn)
{
    CONTAINER_OF(conn, struct peer, conn)->n_drained++;
}

static inline void on_gone(struct conn *conn, bool is_clean)
{
    struct peer *peer = CONTAINER_OF(conn, struct peer, conn);
    peer->is_gone = true;
    peer->is_clean = is_clean;
    conn_abandon(conn);
}

static const struct conn_ops ops = {
    .on_bytes = on_bytes, .on_drained = on_drained, .on_gone = on_gone};

static inline void set_up(void)
{
    struct rlimit files;
    stop_the_clock();
    make_files();
    cr_assert_eq(hash_init(), ERR_OK);
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    cr_assert_eq(reactor_new(NULL, &reactor), ERR_OK);
    cr_assert_eq(conn_loop_init(&loop, reactor), ERR_OK);
    context = open_context(false);
    client_ctx = client_settings(TLS1_3_VERSION);
}

static inline void take_down(void)
{
    SSL_SESSION_free(kept_ticket);
    kept_ticket = NULL;
    SSL_CTX_free(client_ctx);
    conn_loop_fini(&loop);
    reactor_free(reactor);
    tls_context_free(context);
    remove_files();
    let_the_clock_go();
}

static inline void open_peer_from(struct peer *peer, const struct ip *from)
{
    int fds[2];
    int small = 1; /* the kernel makes its least of it: writing soon blocks */
    make_pair(fds);
    setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    *peer = (struct peer){.fd = fds[0], .client = client_on(client_ctx, fds[0])};
    struct transport_socket socket = {.fd = fds[1]};
    cr_assert_eq(tls_new(context, &socket.transport), ERR_OK);
    cr_assert_eq(conn_accept(&peer->conn, &loop, &ops, socket, from), ERR_OK);
}

static inline void open_peer(struct peer *peer)
{
    open_peer_from(peer, &(struct ip){0});
}

static inline void turn(void)
{
    reactor_turn(reactor, 0);
}

static inline void close_peer(struct peer *peer)
{
    if (!peer->is_gone)
        conn_abandon(&peer->conn);
    SSL_free(peer->client);
    close(peer->fd);
    turn();
}

static inline bool step_client(struct peer *peer)
{
    ERR_clear_error();
    return SSL_do_handshake(peer->client) == 1;
}

static inline void shake(struct peer *peer)
{
    bool is_through = false;
    for (int i = 0; i < 40 && (!is_through || conn_is_shaking(&peer->conn)); i++) {
        is_through = step_client(peer);
        turn();
    }
    cr_assert(is_through);
    cr_assert_not(conn_is_shaking(&peer->conn));
}

static inline int read_client(struct peer *peer, uint8_t *bytes, int cap)
{
    ERR_clear_error();
    return SSL_read(peer->client, bytes, cap);
}

static inline bool is_writable(struct peer *peer)
{
    return !(peer->conn.watch.flags & CONN_BLOCKED);
}

#endif
