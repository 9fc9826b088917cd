/* TLS towards a server: TLS 1.2 and 1.3, and the server's certificate is checked. The files can be
 * read again; connections that are open keep what they began with. Any thread, but reloads one at a
 * time. */
#ifndef HERALD_NET_TLS_CLIENT_H
#define HERALD_NET_TLS_CLIENT_H

#include "gateway/net/transport.h"
#include "proto/error.h"

struct ssl_st;
struct tls_client;

/* Paths of PEM files, and the options that named them, for messages. The strings belong to the
 * caller and must stay valid. */
struct tls_client_file {
    const char *option;
    const char *path; /* NULL: none */
};
enum tls_client_kind { TLS_TRUSTED_CA, TLS_OWN_CERTIFICATE, TLS_OWN_KEY, TLS_CLIENT_FILES };

/* Without authorities those of the system count. A certificate and its key need each other. */
struct tls_client_files {
    struct tls_client_file of[TLS_CLIENT_FILES];
};

/* ERR_INVALID_FIELD: a file is missing or cannot be used; *why is a sentence that says what to do.
 */
MUST_CHECK enum err tls_client_new(const struct tls_client_files *files,
                                   struct tls_client **ret_client, char *why, size_t why_cap);
void tls_client_free(struct tls_client *client); /* after its last connection was made */

/* Which files have changed, by their bytes. */
struct tls_client_changes {
    bool is_other[TLS_CLIENT_FILES]; /* after ERR_OK */
    enum tls_client_kind refused;    /* after ERR_INVALID_FIELD */
};
/* On an error nothing changes. */
MUST_CHECK enum err tls_client_reload(struct tls_client *client,
                                      struct tls_client_changes *ret_changes, char *why,
                                      size_t why_cap);

const struct tls_client_files *tls_client_files(const struct tls_client *client); /* as given */

/* For tls.c: a new SSL for one connection, which the caller frees. The certificate must name
 * `name`, a host name or an IP address. NULL: out of memory. */
struct ssl_st *tls_client_connection(struct tls_client *client, const char *name);

#endif
