#include "gateway/net/tls_pem.h"

#include "gateway/base/whole_file.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdio.h>

/* ---- messages ---- */

enum err tls_pem_refuse(struct tls_pem_reason *why, const char *option, const char *path,
                        const char *text)
{
    snprintf(why->text, why->cap, "%s: %.300s: %s", option, path, text);
    why->option = option;
    ERR_clear_error();
    return ERR_INVALID_FIELD;
}

enum err tls_pem_no_memory(struct tls_pem_reason *why)
{
    snprintf(why->text, why->cap, "TLS cannot be set up: out of memory");
    ERR_clear_error();
    return ERR_NO_MEMORY;
}

/* Reads a file; the caller wipes the bytes (whole_file_wipe) also after an error. */
enum err tls_pem_read(struct tls_pem_reason *why, const char *option, const char *path,
                      struct buf *ret_bytes, BIO **ret_bio)
{
    const char *reason;
    buf_init(ret_bytes, WHOLE_FILE_MAX_BYTES);
    *ret_bio = NULL;
    if (whole_file_read(path, ret_bytes, NULL, &reason) != ERR_OK)
        return tls_pem_refuse(why, option, path, reason);
    if (ret_bytes->len == 0)
        return tls_pem_refuse(why, option, path, "the file is empty");
    ERR_clear_error();
    *ret_bio = BIO_new_mem_buf(ret_bytes->bytes, (int)ret_bytes->len);
    return *ret_bio != NULL ? ERR_OK : tls_pem_no_memory(why);
}

/* ---- the files ---- */

/* Like SSL_CTX_use_certificate_chain_file, but from memory. */
static bool take_chain(SSL_CTX *ctx, BIO *bio)
{
    X509 *certificate = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL);
    bool is_taken = certificate != NULL && SSL_CTX_use_certificate(ctx, certificate) == 1;
    X509_free(certificate);
    while (is_taken && (certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
        is_taken = SSL_CTX_add0_chain_cert(ctx, certificate) == 1;
        if (!is_taken)
            X509_free(certificate);
    }
    return is_taken && ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
}

enum err tls_pem_use_certificate(SSL_CTX *ctx, const char *option, const char *path,
                                 struct tls_pem_reason *why)
{
    struct buf bytes;
    BIO *bio;
    char text[300];
    enum err error = tls_pem_read(why, option, path, &bytes, &bio);
    if (error == ERR_OK && !take_chain(ctx, bio)) {
        const char *detail = ERR_reason_error_string(ERR_peek_last_error());
        snprintf(text, sizeof text, "the certificate cannot be used: %s",
                 detail != NULL ? detail : "unknown reason");
        bool is_none = ERR_GET_REASON(ERR_peek_error()) == PEM_R_NO_START_LINE;
        error = tls_pem_refuse(why, option, path,
                               is_none ? "no certificate is in it: it must be PEM, the certificate "
                                         "first and its chain behind it"
                                       : text);
    }
    ERR_clear_error();
    BIO_free(bio);
    whole_file_wipe(&bytes);
    return error;
}

/* Encrypted keys are refused, because there is nobody to ask for a passphrase. */
static int refuse_passphrase(char *out, int cap, int is_writing, void *was_asked)
{
    (void)out;
    (void)cap;
    (void)is_writing;
    *(bool *)was_asked = true;
    return -1;
}

static enum err check_key(SSL_CTX *ctx, EVP_PKEY *key, bool is_encrypted, const char *option,
                          const char *path, struct tls_pem_reason *why)
{
    const char *text = NULL;
    if (is_encrypted)
        text = "the key is encrypted, and nobody can type its passphrase: decrypt it with "
               "`openssl pkey -in FILE -out NEW`, readable for Herald alone";
    else if (key == NULL)
        text = "no private key is in it: it must be PEM";
    else if (X509_check_private_key(SSL_CTX_get0_certificate(ctx), key) != 1)
        text = "the key does not belong to the first certificate of the certificate file";
    else if (SSL_CTX_use_PrivateKey(ctx, key) != 1)
        text = "the key cannot be used";
    return text == NULL ? ERR_OK : tls_pem_refuse(why, option, path, text);
}

enum err tls_pem_use_key(SSL_CTX *ctx, const char *option, const char *path,
                         struct tls_pem_reason *why)
{
    struct buf bytes;
    BIO *bio;
    enum err error = tls_pem_read(why, option, path, &bytes, &bio);
    if (error == ERR_OK) {
        bool is_encrypted = false;
        EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, refuse_passphrase, &is_encrypted);
        error = check_key(ctx, key, is_encrypted, option, path, why);
        EVP_PKEY_free(key);
    }
    BIO_free(bio);
    whole_file_wipe(&bytes);
    return error;
}
