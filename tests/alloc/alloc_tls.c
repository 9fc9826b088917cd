/* TLS connections without memory for some part of them. A client sends a key update and a byte at
 * once, so that the byte is read ahead and has to be kept: it arrives, or the connection ends. */
#include "gateway/base/hash.h"
#include "gateway/net/conn.h"
#include "gateway/net/tls.h"
#include "tests/alloc/fail.h"
#include "tests/support/certificates.h"
#include "tests/support/fake_clock.h"

#include <openssl/ssl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

enum { STEPS = 20 };

struct peer {
    struct conn conn;
    size_t n_taken;
    bool is_gone;
};

static char directory[] = "/tmp/herald-alloc-tls-XXXXXX";
static char certificate_path[64], key_path[64];
static struct tls_context *context;
static SSL_CTX *client_ctx;
static struct conn_loop loop;

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

static void turn(struct reactor *reactor)
{
    fake_us += 1000;
    reactor_turn(reactor, 0);
}

static void speak(struct peer *peer, struct reactor *reactor, SSL *client)
{
    bool is_through = false;
    for (int i = 0; i < STEPS && !peer->is_gone && (!is_through || conn_is_shaking(&peer->conn));
         i++) {
        is_through = SSL_do_handshake(client) == 1;
        turn(reactor);
    }
    CHECK(is_through || peer->is_gone);
    if (!peer->is_gone) {
        CHECK(SSL_key_update(client, SSL_KEY_UPDATE_NOT_REQUESTED) == 1);
        CHECK(SSL_do_handshake(client) == 1);
        CHECK(SSL_write(client, "x", 1) == 1);
    }
    for (int i = 0; i < STEPS; i++)
        turn(reactor);
    CHECK((peer->n_taken == 1) != peer->is_gone);
    CHECK(!peer->is_gone || fail_has_happened());
}

static void come_and_go(struct reactor *reactor)
{
    struct peer peer = {0};
    int ends[2];
    struct transport_socket socket = {0};
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    SSL *client = SSL_new(client_ctx);
    SSL_set_fd(client, ends[1]);
    SSL_set_connect_state(client);
    socket.fd = ends[0];
    if (!WENT_WELL(tls_new(context, &socket.transport))) {
        close(ends[0]);
    } else if (WENT_WELL(conn_accept(&peer.conn, &loop, &ops, socket, &(struct ip){0}))) {
        speak(&peer, reactor, client);
        if (!peer.is_gone)
            conn_abandon(&peer.conn);
        turn(reactor);
    } else {
        transport_close(socket);
    }
    SSL_free(client);
    close(ends[1]);
}

static void run(void)
{
    struct reactor *reactor;
    if (!WENT_WELL(reactor_new(NULL, &reactor)))
        return;
    if (WENT_WELL(conn_loop_init(&loop, reactor))) {
        come_and_go(reactor);
        conn_loop_fini(&loop);
    }
    reactor_free(reactor);
}

static void make_context(void)
{
    char why[1024];
    CHECK(mkdtemp(directory) != NULL);
    snprintf(certificate_path, sizeof certificate_path, "%s/cert.pem", directory);
    snprintf(key_path, sizeof key_path, "%s/key.pem", directory);
    struct identity server = identity_make("server", NULL);
    identity_write_certificate(&server, certificate_path);
    identity_write_key(&server, key_path, NULL);
    identity_free(&server);
    struct tls_files files = {certificate_path, key_path,    NULL,
                              "--tls-cert",     "--tls-key", "--tls-client-ca"};
    CHECK(tls_context_new(&files, &context, why, sizeof why) == ERR_OK);
    unlink(certificate_path);
    unlink(key_path);
    rmdir(directory);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN); /* the client's */
    CHECK(hash_init() == ERR_OK);
    stop_the_clock();
    make_context();
    client_ctx = SSL_CTX_new(TLS_client_method());
    fail_each("tls", run);
    SSL_CTX_free(client_ctx);
    tls_context_free(context);
    return 0;
}
