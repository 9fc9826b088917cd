/* Certificates and keys from PEM files, for the files that include OpenSSL. Any thread. */
#ifndef HERALD_NET_TLS_PEM_H
#define HERALD_NET_TLS_PEM_H

#include "proto/bytes/buf.h"
#include "proto/error.h"

struct bio_st;
struct ssl_ctx_st;

struct tls_pem_reason {
    char *text; /* a sentence that names the option and the file and says what to do */
    size_t cap;
    const char *option; /* of the file that was refused; NULL: none */
};

/* ERR_INVALID_FIELD, with the sentence about the file. */
MUST_CHECK enum err tls_pem_refuse(struct tls_pem_reason *why, const char *option, const char *path,
                                   const char *text);
/* ERR_NO_MEMORY */
MUST_CHECK enum err tls_pem_no_memory(struct tls_pem_reason *why);

/* Reads a file; the caller wipes the bytes (whole_file_wipe) also after an error, and frees the
 * BIO.
 */
MUST_CHECK enum err tls_pem_read(struct tls_pem_reason *why, const char *option, const char *path,
                                 struct buf *ret_bytes, struct bio_st **ret_bio);

/* The certificate and its chain. */
MUST_CHECK enum err tls_pem_use_certificate(struct ssl_ctx_st *ctx, const char *option,
                                            const char *path, struct tls_pem_reason *why);
/* After the certificate. An encrypted key is refused. */
MUST_CHECK enum err tls_pem_use_key(struct ssl_ctx_st *ctx, const char *option, const char *path,
                                    struct tls_pem_reason *why);

#endif
