/* The certificate, key and settings of a TLS port: TLS 1.2 and 1.3, ALPN http/1.1 (a client that
 * offers other protocols only is refused), resumption by tickets. The files can be read again while
 * connections are open, which keep the settings that they began with. Any thread. */
#ifndef HERALD_NET_TLS_CONTEXT_H
#define HERALD_NET_TLS_CONTEXT_H

#include "proto/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ssl_st; /* OpenSSL's SSL; only the tls files include its header */
struct tls_context;

/* Paths of PEM files, and the options that named them, for messages ("--tls-cert"). The strings
 * belong to the caller and must stay valid. */
struct tls_files {
    const char *certificate; /* followed by its chain */
    const char *key;
    const char
        *client_ca; /* NULL: no client certificates; otherwise one signed by it is required */
    const char *certificate_option;
    const char *key_option;
    const char *client_ca_option;
};

enum tls_file { TLS_CERTIFICATE, TLS_KEY, TLS_CLIENT_CA, TLS_FILES };

/* ERR_INVALID_FIELD: a file is missing, unreadable or encrypted, or the key does not match; *why is
 * a sentence that names the option and the file and says what to do. */
MUST_CHECK enum err tls_context_new(const struct tls_files *files, struct tls_context **ret_context,
                                    char *why, size_t why_cap);
void tls_context_free(struct tls_context *context); /* after its last connection was freed */

/* Which files have changed. The certificates and keys in use are compared, not the bytes of the
 * files. */
struct tls_changes {
    bool is_other[TLS_FILES]; /* after ERR_OK */
    enum tls_file refused;    /* after ERR_INVALID_FIELD */
};

/* Reads the files again. On an error nothing changes. TLS sessions can still be resumed, because
 * the ticket keys stay, but not after a change of the client CA, because the new CA must verify the
 * client's certificate itself. */
MUST_CHECK enum err tls_context_reload(struct tls_context *context, struct tls_changes *ret_changes,
                                       char *why, size_t why_cap);

/* The keys of its tickets, for a process that serves the port after this one; see tls_tickets.h. */
struct carried_ticket_keys;
void tls_context_carry_keys(struct tls_context *context, struct carried_ticket_keys *ret_carried);
void tls_context_adopt_keys(struct tls_context *context, const struct carried_ticket_keys *carried);

const struct tls_files *tls_context_files(const struct tls_context *context); /* as given */

/* The certificate's notBefore and notAfter, in seconds since 1970. */
void tls_context_validity(struct tls_context *context, int64_t *ret_not_before,
                          int64_t *ret_not_after);

/* For tls.c: a new SSL for one connection, which the caller frees. NULL: out of memory. */
struct ssl_st *tls_context_connection(struct tls_context *context);

#endif
