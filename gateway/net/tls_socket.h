/* The socket of a TLS connection, as OpenSSL reads and writes it (a BIO). For tls.c; one thread at
 * a time.
 *
 * OpenSSL asks for the header of a record and then for its body, which would be two system calls
 * for each small record, and a third one to find out that there is no other. So a header is read
 * together with what follows it, up to TLS_AHEAD_BYTES. What OpenSSL has not taken of that at the
 * end of a read is kept, and is told (tls_socket_has_ahead). */
#ifndef HERALD_NET_TLS_SOCKET_H
#define HERALD_NET_TLS_SOCKET_H

#include "proto/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ssl_st;

/* No more records are begun in one call (tls_socket_begin). */
enum { TLS_RECORDS_PER_CALL = 16 };
/* A push of some hundred bytes with its head fits. So do more small records than one call may
 * begin: what is left of these is kept. */
enum { TLS_AHEAD_BYTES = 1024 };

struct tls_ahead {
    size_t at; /* the first byte that was not taken */
    size_t len;
    uint8_t bytes[TLS_AHEAD_BYTES];
};

struct tls_socket {
    int fd;
    bool is_drained;         /* the last read from the socket brought less than it asked for */
    bool may_read_ahead;     /* set by the owner: it has room for what would come with a header */
    unsigned n_records;      /* begun since tls_socket_begin; counted by the owner */
    struct tls_ahead *ahead; /* NULL: only what OpenSSL asks for is read */
};

/* Makes `ssl` use the socket, which must outlive it. ERR_NO_MEMORY. */
MUST_CHECK enum err tls_socket_attach(struct tls_socket *socket, struct ssl_st *ssl, int fd);
void tls_socket_fini(struct tls_socket *socket);

/* Begins a call of OpenSSL, or several that share TLS_RECORDS_PER_CALL. */
void tls_socket_begin(struct tls_socket *socket);

/* Reads ahead into `room` while that is allowed (may_read_ahead), unless bytes are kept from an
 * earlier read: then their place is used. */
void tls_socket_read_ahead(struct tls_socket *socket, struct tls_ahead *room);
/* Ends that: `room` is the caller's again, and what was not taken is kept on the heap.
 * ERR_NO_MEMORY: it is lost. */
MUST_CHECK enum err tls_socket_keep_ahead(struct tls_socket *socket, const struct tls_ahead *room);

static inline bool tls_socket_has_ahead(const struct tls_socket *socket)
{
    return socket->ahead != NULL && socket->ahead->at < socket->ahead->len;
}

#endif
