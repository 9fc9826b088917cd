/* A server's files, and a TLS client over a socket pair, for the tests of TLS. */
#ifndef HERALD_TESTS_TLS_PEER_H
#define HERALD_TESTS_TLS_PEER_H

#include "gateway/net/tls.h"
#include "tests/support/certificates.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

static char directory[64];
static char certificate_path[80], key_path[80], ca_path[80];
static struct identity authority, server;
static char why[1024];

static inline void make_files(void)
{
    signal(SIGPIPE, SIG_IGN);
    snprintf(directory, sizeof directory, "/tmp/herald-tls-XXXXXX");
    cr_assert_not_null(mkdtemp(directory));
    snprintf(certificate_path, sizeof certificate_path, "%s/cert.pem", directory);
    snprintf(key_path, sizeof key_path, "%s/key.pem", directory);
    snprintf(ca_path, sizeof ca_path, "%s/ca.pem", directory);
    authority = identity_make("authority", NULL);
    server = identity_make("server", &authority);
    identity_write_certificate(&server, certificate_path);
    identity_write_key(&server, key_path, NULL);
    identity_write_certificate(&authority, ca_path);
}

static inline void remove_files(void)
{
    unlink(certificate_path);
    unlink(key_path);
    unlink(ca_path);
    rmdir(directory);
    identity_free(&authority);
    identity_free(&server);
}

static inline struct tls_files files_of_server(bool with_client_ca)
{
    return (struct tls_files){certificate_path, key_path,    with_client_ca ? ca_path : NULL,
                              "--tls-cert",     "--tls-key", "--tls-client-ca"};
}

static inline struct tls_context *open_context(bool with_client_ca)
{
    struct tls_files files = files_of_server(with_client_ca);
    struct tls_context *context = NULL;
    cr_assert_eq(tls_context_new(&files, &context, why, sizeof why), ERR_OK, "%s", why);
    return context;
}

static inline void make_pair(int fds[2])
{
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
}

/* The last ticket that a client was given. */
static SSL_SESSION *kept_ticket;

static inline int keep_ticket(SSL *ssl, SSL_SESSION *session)
{
    (void)ssl;
    SSL_SESSION_free(kept_ticket);
    kept_ticket = session;
    return 1;
}

static inline SSL_CTX *client_settings(int version)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_min_proto_version(ctx, version);
    SSL_CTX_set_max_proto_version(ctx, version);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
    SSL_CTX_sess_set_new_cb(ctx, keep_ticket);
    SSL_CTX_set_mode(ctx, SSL_MODE_AUTO_RETRY);
    return ctx;
}

static inline SSL *client_on(SSL_CTX *ctx, int fd)
{
    SSL *ssl = SSL_new(ctx);
    SSL_set_fd(ssl, fd);
    SSL_set_connect_state(ssl);
    return ssl;
}

#endif
