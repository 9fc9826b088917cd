/* The certificate, key and settings of a TLS port: TLS 1.2 and 1.3, ALPN http/1.1 (a client that
 * offers other protocols only is refused), resumption by tickets. It can be read again while
 * connections are open: those keep what they began with. Any thread. */
#ifndef HERALD_NET_TLS_CONTEXT_H
#define HERALD_NET_TLS_CONTEXT_H

#include "proto/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ssl_st; /* OpenSSL's SSL; its header is for the tls files alone */
struct tls_context;

/* Paths of PEM files, and the options that named them, for messages ("--tls-cert"). The strings are
 * the caller's and stay. */
struct tls_files {
    const char *certificate; /* with the chain behind it */
    const char *key;
    const char
        *client_ca; /* NULL: no client certificates. Else one that it has signed is required */
    const char *certificate_option;
    const char *key_option;
    const char *client_ca_option;
};

enum tls_file { TLS_CERTIFICATE, TLS_KEY, TLS_CLIENT_CA, TLS_FILES };

/* ERR_INVALID_FIELD: a file is missing, unreadable, encrypted or does not fit; *why is a sentence
 * that names the option and the file and says what to do. */
MUST_CHECK enum err tls_context_new(const struct tls_files *files, struct tls_context **ret_context,
                                    char *why, size_t why_cap);
void tls_context_free(struct tls_context *context); /* after the last of its connections */

/* What was in a file and what is: not the file is compared, but what is served. */
struct tls_changes {
    bool is_other[TLS_FILES]; /* after ERR_OK */
    enum tls_file refused;    /* after ERR_INVALID_FIELD */
};

/* Reads the files again. On error everything stays as it was. Sessions can still be resumed: the
 * ticket keys stay; but not after another client CA, which has to look at the certificate itself.
 */
MUST_CHECK enum err tls_context_reload(struct tls_context *context, struct tls_changes *ret_changes,
                                       char *why, size_t why_cap);

const struct tls_files *tls_context_files(const struct tls_context *context); /* as given */

/* When the certificate begins and ends to be valid, in seconds since 1970. */
void tls_context_validity(struct tls_context *context, int64_t *ret_not_before,
                          int64_t *ret_not_after);

/* For tls.c: the server's side of one connection; the caller frees it. NULL: out of memory. */
struct ssl_st *tls_context_connection(struct tls_context *context);

#endif
