/* As with a server's files (tls_context.c), a reload builds a whole new SSL_CTX and replaces the
 * current one with it, or changes nothing. */
#include "gateway/net/tls_client.h"

#include "gateway/base/whole_file.h"
#include "gateway/net/tls_pem.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct digests {
    unsigned char of[TLS_CLIENT_FILES][SHA256_DIGEST_LENGTH];
};

struct tls_client {
    pthread_mutex_t lock; /* guards `current` */
    SSL_CTX *current;
    struct tls_client_files files;
    struct digests digests; /* of the files of `current`; for the thread that reloads */
};

/* ---- the files ---- */

/* All zero if it cannot be read. */
static void digest_file(const struct tls_client_file *file, unsigned char *digest)
{
    struct buf bytes;
    const char *reason;
    memset(digest, 0, SHA256_DIGEST_LENGTH);
    if (file->path == NULL)
        return;
    buf_init(&bytes, WHOLE_FILE_MAX_BYTES);
    if (whole_file_read(file->path, &bytes, NULL, &reason) == ERR_OK)
        EVP_Digest(bytes.bytes, bytes.len, digest, NULL, EVP_sha256(), NULL);
    whole_file_wipe(&bytes);
}

static bool take_authorities(SSL_CTX *ctx, BIO *bio)
{
    X509 *certificate;
    size_t n = 0;
    bool is_taken = true;
    while (is_taken && (certificate = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL)) != NULL) {
        is_taken = X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), certificate) == 1;
        X509_free(certificate);
        n++;
    }
    return is_taken && n > 0 && ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
}

static enum err use_authorities(SSL_CTX *ctx, const struct tls_client_file *file,
                                struct tls_pem_reason *why)
{
    struct buf bytes;
    BIO *bio;
    if (file->path == NULL)
        return SSL_CTX_set_default_verify_paths(ctx) == 1 ? ERR_OK : tls_pem_no_memory(why);
    enum err error = tls_pem_read(why, file->option, file->path, &bytes, &bio);
    if (error == ERR_OK && !take_authorities(ctx, bio))
        error = tls_pem_refuse(why, file->option, file->path,
                               "no certificate is in it: it must be PEM, the authorities that sign "
                               "the servers' certificates");
    ERR_clear_error();
    BIO_free(bio);
    whole_file_wipe(&bytes);
    return error;
}

static bool set_up_context(SSL_CTX *ctx)
{
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_clear_mode(ctx, SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    return SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1;
}

static enum err build_context(const struct tls_client_files *files, SSL_CTX **ret_ctx,
                              struct tls_pem_reason *why)
{
    const struct tls_client_file *certificate = &files->of[TLS_OWN_CERTIFICATE];
    const struct tls_client_file *key = &files->of[TLS_OWN_KEY];
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    if (ctx == NULL)
        return tls_pem_no_memory(why);
    enum err error = set_up_context(ctx) ? ERR_OK : tls_pem_no_memory(why);
    if (error == ERR_OK)
        error = use_authorities(ctx, &files->of[TLS_TRUSTED_CA], why);
    if (error == ERR_OK && certificate->path != NULL)
        error = tls_pem_use_certificate(ctx, certificate->option, certificate->path, why);
    if (error == ERR_OK && certificate->path != NULL)
        error = tls_pem_use_key(ctx, key->option, key->path, why);
    if (error != ERR_OK) {
        SSL_CTX_free(ctx);
        return error;
    }
    *ret_ctx = ctx;
    return ERR_OK;
}

static void digest_files(const struct tls_client_files *files, struct digests *digests)
{
    for (size_t i = 0; i < TLS_CLIENT_FILES; i++)
        digest_file(&files->of[i], digests->of[i]);
}

/* ---- life ---- */

enum err tls_client_new(const struct tls_client_files *files, struct tls_client **ret_client,
                        char *why, size_t why_cap)
{
    struct tls_pem_reason reason = {why, why_cap, NULL};
    struct tls_client *client = calloc(1, sizeof *client);
    if (client == NULL)
        return tls_pem_no_memory(&reason);
    client->files = *files;
    digest_files(files, &client->digests);
    enum err error = build_context(files, &client->current, &reason);
    if (error != ERR_OK) {
        free(client);
        return error;
    }
    pthread_mutex_init(&client->lock, NULL);
    *ret_client = client;
    return ERR_OK;
}

void tls_client_free(struct tls_client *client)
{
    if (client == NULL)
        return;
    SSL_CTX_free(client->current);
    pthread_mutex_destroy(&client->lock);
    free(client);
}

enum err tls_client_reload(struct tls_client *client, struct tls_client_changes *ret_changes,
                           char *why, size_t why_cap)
{
    struct tls_pem_reason reason = {why, why_cap, NULL};
    struct digests after;
    SSL_CTX *next;
    digest_files(&client->files, &after);
    enum err error = build_context(&client->files, &next, &reason);
    if (error != ERR_OK) {
        ret_changes->refused = TLS_TRUSTED_CA;
        for (size_t i = 0; i < TLS_CLIENT_FILES; i++)
            if (reason.option == client->files.of[i].option)
                ret_changes->refused = (enum tls_client_kind)i;
        return error;
    }
    pthread_mutex_lock(&client->lock);
    SSL_CTX *last = client->current;
    client->current = next;
    pthread_mutex_unlock(&client->lock);
    SSL_CTX_free(last);
    for (size_t i = 0; i < TLS_CLIENT_FILES; i++)
        ret_changes->is_other[i] =
            memcmp(after.of[i], client->digests.of[i], sizeof after.of[i]) != 0;
    client->digests = after;
    return ERR_OK;
}

const struct tls_client_files *tls_client_files(const struct tls_client *client)
{
    return &client->files;
}

/* An IP address is compared with those of the certificate; a name is also told to the server. */
static bool expect_name(SSL *ssl, const char *name)
{
    X509_VERIFY_PARAM *expected = SSL_get0_param(ssl);
    X509_VERIFY_PARAM_set_hostflags(expected, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    bool is_ip = X509_VERIFY_PARAM_set1_ip_asc(expected, name) == 1;
    ERR_clear_error();
    return is_ip || (X509_VERIFY_PARAM_set1_host(expected, name, 0) == 1 &&
                     SSL_set_tlsext_host_name(ssl, name) == 1);
}

struct ssl_st *tls_client_connection(struct tls_client *client, const char *name)
{
    pthread_mutex_lock(&client->lock);
    SSL *ssl = SSL_new(client->current);
    pthread_mutex_unlock(&client->lock);
    if (ssl != NULL && expect_name(ssl, name)) {
        SSL_set_connect_state(ssl);
        return ssl;
    }
    SSL_free(ssl);
    return NULL;
}
