/* TLS clients of a whole gateway with several workers: handshakes, full and resumed, sockets that
 * move to their home worker, pushes, and reloads of the certificate all the while, for
 * ThreadSanitizer. Each client insists on the 101 and on a notification that is pushed to it. Ends
 * by itself within 20 s. */
#include "gateway/base/log.h"
#include "tests/race/host.h"
#include "tests/support/certificates.h"
#include "tests/support/loopback.h"

#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CLIENTS = 3, USUAL_MS = 5000 };

static atomic_int n_done;
static atomic_int n_resumed;

static void fail_visit(const char *what)
{
    fprintf(stderr, "race_tls: %s\n", what);
    abort();
}

static int dial(void)
{
    int fd = loopback_dial(race.port);
    if (fd < 0)
        fail_visit("cannot connect");
    return fd;
}

static void read_until(SSL *ssl, const char *word)
{
    char bytes[16384];
    size_t len = 0;
    for (;;) {
        int got = SSL_read(ssl, bytes + len, (int)(sizeof bytes - 1 - len));
        if (got <= 0)
            fail_visit("the connection ended");
        len += (size_t)got;
        bytes[len] = '\0';
        if (memmem(bytes, len, word, strlen(word)) != NULL)
            return;
    }
}

static void visit(SSL_CTX *ctx, SSL_SESSION **session, unsigned *seed)
{
    char head[400];
    char user[24];
    int fd = dial();
    SSL *ssl = SSL_new(ctx);
    SSL_set_fd(ssl, fd);
    if (*session != NULL && rand_r(seed) % 2 == 0)
        SSL_set_session(ssl, *session);
    if (SSL_connect(ssl) != 1)
        fail_visit("the handshake failed");
    atomic_fetch_add(&n_resumed, SSL_session_reused(ssl));
    snprintf(user, sizeof user, "u%d", rand_r(seed) % 100000);
    int len = snprintf(head, sizeof head,
                       "GET /ws?userId=%s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
                       "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                       "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                       user);
    SSL_write(ssl, head, len);
    race_push(user, &(struct gateway_push){.data = SPAN_LITERAL("\"through-tls\""), .ttl_s = 60});
    read_until(ssl, "through-tls");
    SSL_SESSION_free(*session);
    *session = SSL_get1_session(ssl);
    if (rand_r(seed) % 3 > 0)
        SSL_shutdown(ssl);
    SSL_free(ssl);
    close(fd);
    atomic_fetch_add(&n_done, 1);
}

static void *visitor(void *argument)
{
    unsigned seed = (unsigned)(size_t)argument;
    SSL_SESSION *session = NULL;
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_max_proto_version(ctx, seed % 2 == 0 ? TLS1_3_VERSION : TLS1_2_VERSION);
    while (!atomic_load(&race.is_over))
        visit(ctx, &session, &seed);
    SSL_SESSION_free(session);
    SSL_CTX_free(ctx);
    return NULL;
}

/* Begins handshakes and does not go on with them. */
static void *loiterer(void *argument)
{
    (void)argument;
    while (!atomic_load(&race.is_over)) {
        int fd = dial();
        ssize_t sent = send(fd, "\x16\x03\x01\x00\x80", 5, MSG_NOSIGNAL);
        (void)sent;
        usleep(2000);
        close(fd);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    char directory[] = "/tmp/herald-race-tls-XXXXXX";
    char certificate[80];
    char key[80];
    signal(SIGPIPE, SIG_IGN);
    log_setup(LOG_ERROR, LOG_LOGFMT);
    if (mkdtemp(directory) == NULL)
        fail_visit("no directory");
    snprintf(certificate, sizeof certificate, "%s/cert.pem", directory);
    snprintf(key, sizeof key, "%s/key.pem", directory);
    struct identity server = identity_make("server", NULL);
    identity_write_certificate(&server, certificate);
    identity_write_key(&server, key, NULL);
    char *more[] = {"--log-level", "error", "--tls-cert", certificate, "--tls-key", key, NULL};
    if (!race_start(more))
        return 1;
    for (size_t i = 0; i < CLIENTS; i++)
        race_thread(visitor, i + 1);
    race_thread(loiterer, 0);
    int run_ms = race_run_ms(argc, argv, USUAL_MS);
    for (int i = 0; i < run_ms / 20; i++) {
        gateway_reload(race.node, true);
        usleep(20 * 1000);
    }
    race_join();
    bool is_good = race_end();
    identity_free(&server);
    unlink(certificate);
    unlink(key);
    rmdir(directory);
    printf("race_tls: %d visits, %d resumed\n", atomic_load(&n_done), atomic_load(&n_resumed));
    return is_good && atomic_load(&n_done) > 0 && atomic_load(&n_resumed) > 0 ? 0 : 1;
}
