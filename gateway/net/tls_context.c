/* A reload builds a whole new SSL_CTX and replaces the current one with it, or changes nothing.
 * OpenSSL counts references, so an open connection keeps the SSL_CTX with which it started. Digests
 * of the certificates and keys show whether a reload has changed anything. */
#include "gateway/net/tls_context.h"

#include "gateway/base/whole_file.h"
#include "gateway/net/tls_pem.h"
#include "gateway/net/tls_tickets.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Digests of what was read, to compare with what is read next; that of the key is of its public
 * half. They are kept because an SSL_CTX that connections share must not be read while they may
 * free it. */
struct digests {
    unsigned char chain[SHA256_DIGEST_LENGTH];
    unsigned char key[SHA256_DIGEST_LENGTH];
    unsigned char client_ca[SHA256_DIGEST_LENGTH]; /* of the file's bytes */
};

struct tls_context {
    pthread_mutex_t lock; /* guards `current` */
    SSL_CTX *current;
    struct tls_tickets tickets;
    struct tls_files files;
    /* Of `current`; only the thread that reloads uses them. */
    struct digests digests;
};

/* ---- the files ---- */

/* Sets the session id context. A ticket of a session under another client CA is not accepted,
 * because that CA verified the client's certificate. */
static enum err name_sessions(SSL_CTX *ctx, struct span client_ca, unsigned char *ret_digest,
                              struct tls_pem_reason *why)
{
    unsigned len = 0;
    bool is_done =
        EVP_Digest(client_ca.bytes, client_ca.len, ret_digest, &len, EVP_sha256(), NULL) == 1 &&
        SSL_CTX_set_session_id_context(ctx, ret_digest, len) == 1;
    return is_done ? ERR_OK : tls_pem_no_memory(why);
}

/* Does the list have this name? Each name is sent to the client once. */
static bool has_name(STACK_OF(X509_NAME) * names, const X509_NAME *name)
{
    for (int i = 0; i < sk_X509_NAME_num(names); i++)
        if (X509_NAME_cmp(sk_X509_NAME_value(names, i), name) == 0)
            return true;
    return false;
}

static bool take_authority(SSL_CTX *ctx, X509 *certificate, STACK_OF(X509_NAME) * names)
{
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), certificate) != 1)
        return false;
    if (has_name(names, X509_get_subject_name(certificate)))
        return true;
    X509_NAME *name = X509_NAME_dup(X509_get_subject_name(certificate));
    if (name != NULL && sk_X509_NAME_push(names, name) > 0)
        return true;
    X509_NAME_free(name);
    return false;
}

/* Like SSL_CTX_load_verify_file and SSL_load_client_CA_file, but from memory. */
static bool take_authorities(SSL_CTX *ctx, BIO *bio)
{
    STACK_OF(X509_NAME) *names = sk_X509_NAME_new_null();
    X509 *certificate;
    bool is_taken = names != NULL;
    while (is_taken && (certificate = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL)) != NULL) {
        is_taken = take_authority(ctx, certificate, names);
        X509_free(certificate);
    }
    if (is_taken && sk_X509_NAME_num(names) > 0 &&
        ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE) {
        SSL_CTX_set_client_CA_list(ctx, names);
        return true;
    }
    sk_X509_NAME_pop_free(names, X509_NAME_free);
    return false;
}

static enum err use_client_ca(SSL_CTX *ctx, const struct tls_files *files,
                              unsigned char *ret_digest, struct tls_pem_reason *why)
{
    struct buf bytes;
    BIO *bio;
    if (files->client_ca == NULL)
        return name_sessions(ctx, (struct span){"", 0}, ret_digest, why);
    enum err error = tls_pem_read(why, files->client_ca_option, files->client_ca, &bytes, &bio);
    if (error == ERR_OK && !take_authorities(ctx, bio))
        error =
            tls_pem_refuse(why, files->client_ca_option, files->client_ca,
                           "no certificate is in it: it must be PEM, the authorities that sign the "
                           "clients' certificates");
    if (error == ERR_OK) {
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
        error = name_sessions(ctx, buf_span(&bytes), ret_digest, why);
    }
    ERR_clear_error();
    BIO_free(bio);
    whole_file_wipe(&bytes);
    return error;
}

/* ---- the settings ---- */

/* ALPN (RFC 7301): chooses http/1.1. A client that offers only other protocols gets the alert
 * no_application_protocol; one without ALPN is accepted. */
static int choose_protocol(SSL *ssl, const unsigned char **ret_name, unsigned char *ret_len,
                           const unsigned char *offered, unsigned offered_len, void *argument)
{
    static const unsigned char ours[] = "\x08http/1.1";
    unsigned char *chosen;
    (void)ssl;
    (void)argument;
    if (SSL_select_next_proto(&chosen, ret_len, ours, sizeof ours - 1, offered, offered_len) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *ret_name = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* AES-128 stands before AES-256: the handshakes of its suites use SHA-256, for which most
 * processors have instructions, and not SHA-384. A client that lists ChaCha20 first gets that. */
static bool choose_ciphers(SSL_CTX *ctx)
{
    return SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:"
                                         "TLS_CHACHA20_POLY1305_SHA256") == 1 &&
           SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM+AES128:ECDHE+AESGCM:ECDHE+CHACHA20") ==
               1; /* for TLS 1.2 */
}

/* RELEASE_BUFFERS: an idle connection has no record buffer, which saves 9 KB. The two write modes
 * allow that the bytes are gathered from the queue again for each call. Without AUTO_RETRY, which
 * is on by default, a read processes one record: with it, a client that sends only key updates (RFC
 * 8446, 4.6.3) would keep the worker inside one read as long as it likes. */
static bool set_up_context(SSL_CTX *ctx)
{
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                 SSL_OP_NO_COMPRESSION | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_clear_mode(ctx, SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_session_cache_mode(
        ctx, SSL_SESS_CACHE_OFF); /* only tickets, which need no memory here */
    SSL_CTX_set_alpn_select_cb(ctx, choose_protocol, NULL);
    return SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 && choose_ciphers(ctx);
}

static bool add_certificate(EVP_MD_CTX *hash, const X509 *certificate)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len;
    return X509_digest(certificate, EVP_sha256(), digest, &len) == 1 &&
           EVP_DigestUpdate(hash, digest, len) == 1;
}

/* The key matches the certificate (use_key), so the public key of the certificate is digested. Out
 * of memory: the digests are all zero, which counts as a change. */
static void digest_certificates(SSL_CTX *ctx, struct digests *digests)
{
    STACK_OF(X509) * chain;
    const X509 *first = SSL_CTX_get0_certificate(ctx);
    SSL_CTX_get0_chain_certs(ctx, &chain);
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    bool is_done = hash != NULL && EVP_DigestInit_ex(hash, EVP_sha256(), NULL) == 1 &&
                   add_certificate(hash, first);
    for (int i = 0; is_done && i < sk_X509_num(chain); i++)
        is_done = add_certificate(hash, sk_X509_value(chain, i));
    if (!is_done || EVP_DigestFinal_ex(hash, digests->chain, NULL) != 1 ||
        X509_pubkey_digest(first, EVP_sha256(), digests->key, NULL) != 1) {
        memset(digests->chain, 0, sizeof digests->chain);
        memset(digests->key, 0, sizeof digests->key);
    }
    EVP_MD_CTX_free(hash);
}

static enum err build_context(struct tls_context *context, SSL_CTX **ret_ctx,
                              struct digests *digests, struct tls_pem_reason *why)
{
    const struct tls_files *files = &context->files;
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (ctx == NULL)
        return tls_pem_no_memory(why);
    enum err error = set_up_context(ctx) && tls_tickets_use(&context->tickets, ctx) == ERR_OK
                         ? ERR_OK
                         : tls_pem_no_memory(why);
    if (error == ERR_OK)
        error = tls_pem_use_certificate(ctx, files->certificate_option, files->certificate, why);
    if (error == ERR_OK)
        error = tls_pem_use_key(ctx, files->key_option, files->key, why);
    if (error == ERR_OK)
        error = use_client_ca(ctx, files, digests->client_ca, why);
    if (error != ERR_OK) {
        SSL_CTX_free(ctx);
        return error;
    }
    digest_certificates(ctx, digests);
    *ret_ctx = ctx;
    return ERR_OK;
}

/* ---- life ---- */

enum err tls_context_new(const struct tls_files *files, struct tls_context **ret_context, char *why,
                         size_t why_cap)
{
    struct tls_pem_reason reason = {why, why_cap, NULL};
    struct tls_context *context = calloc(1, sizeof *context);
    if (context == NULL)
        return tls_pem_no_memory(&reason);
    context->files = *files;
    enum err error = tls_tickets_init(&context->tickets);
    if (error != ERR_OK) {
        snprintf(why, why_cap, "TLS cannot be set up: no random numbers");
        goto undo_alloc;
    }
    error = ERR_SYSTEM;
    if (pthread_mutex_init(&context->lock, NULL) != 0)
        goto undo_tickets;
    error = build_context(context, &context->current, &context->digests, &reason);
    if (error != ERR_OK)
        goto undo_lock;
    *ret_context = context;
    return ERR_OK;

undo_lock:
    pthread_mutex_destroy(&context->lock);
undo_tickets:
    tls_tickets_fini(&context->tickets);
undo_alloc:
    free(context);
    return error;
}

void tls_context_free(struct tls_context *context)
{
    if (context == NULL)
        return;
    SSL_CTX_free(context->current);
    pthread_mutex_destroy(&context->lock);
    tls_tickets_fini(&context->tickets);
    free(context);
}

void tls_context_carry_keys(struct tls_context *context, struct carried_ticket_keys *ret_carried)
{
    tls_tickets_carry(&context->tickets, ret_carried);
}

void tls_context_adopt_keys(struct tls_context *context, const struct carried_ticket_keys *carried)
{
    tls_tickets_adopt(&context->tickets, carried);
}

static enum tls_file file_of(const struct tls_files *files, const char *option)
{
    if (option == files->key_option)
        return TLS_KEY;
    return option == files->client_ca_option ? TLS_CLIENT_CA : TLS_CERTIFICATE;
}

enum err tls_context_reload(struct tls_context *context, struct tls_changes *ret_changes, char *why,
                            size_t why_cap)
{
    struct tls_pem_reason reason = {why, why_cap, NULL};
    const struct digests before = context->digests;
    struct digests after;
    SSL_CTX *next;
    enum err error = build_context(context, &next, &after, &reason);
    if (error != ERR_OK) {
        ret_changes->refused = file_of(&context->files, reason.option);
        return error;
    }
    pthread_mutex_lock(&context->lock);
    SSL_CTX *last = context->current;
    context->current = next;
    pthread_mutex_unlock(&context->lock);
    SSL_CTX_free(last);
    context->digests = after;
    ret_changes->is_other[TLS_CERTIFICATE] =
        memcmp(after.chain, before.chain, sizeof after.chain) != 0;
    ret_changes->is_other[TLS_KEY] = memcmp(after.key, before.key, sizeof after.key) != 0;
    ret_changes->is_other[TLS_CLIENT_CA] =
        memcmp(after.client_ca, before.client_ca, sizeof after.client_ca) != 0;
    return ERR_OK;
}

const struct tls_files *tls_context_files(const struct tls_context *context)
{
    return &context->files;
}

static SSL_CTX *hold_current(struct tls_context *context)
{
    pthread_mutex_lock(&context->lock);
    SSL_CTX *ctx = context->current;
    SSL_CTX_up_ref(ctx);
    pthread_mutex_unlock(&context->lock);
    return ctx;
}

static int64_t seconds_of(const ASN1_TIME *at)
{
    struct tm tm = {0};
    return ASN1_TIME_to_tm(at, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

void tls_context_validity(struct tls_context *context, int64_t *ret_not_before,
                          int64_t *ret_not_after)
{
    SSL_CTX *ctx = hold_current(context);
    const X509 *certificate = SSL_CTX_get0_certificate(ctx);
    *ret_not_before = seconds_of(X509_get0_notBefore(certificate));
    *ret_not_after = seconds_of(X509_get0_notAfter(certificate));
    SSL_CTX_free(ctx);
}

struct ssl_st *tls_context_connection(struct tls_context *context)
{
    SSL_CTX *ctx = hold_current(context);
    SSL *ssl = SSL_new(ctx);
    SSL_CTX_free(ctx);
    return ssl;
}
