/* Listening sockets: TCP and unix. Used by the subscriber port and the admin port alike. */
#ifndef HERALD_NET_LISTENER_H
#define HERALD_NET_LISTENER_H

#include "gateway/base/listen_address.h"
#include "gateway/net/socket_rights.h"
#include "proto/bytes/cidr.h"

/* Binds and listens; *ret_fd is a non-blocking socket that the caller closes with listener_close.
 * There is no SO_REUSEPORT: two Heralds never share a port. [::] takes IPv4 as well, unless the
 * address says otherwise. A unix socket that nobody answers on any more is replaced; it has
 * `rights` before anybody can connect (NULL: what the umask leaves). ERR_SYSTEM: *why is a sentence
 * that says what to do. */
MUST_CHECK enum err listener_open(const struct listen_address *address,
                                  const struct socket_rights *rights, const char *option,
                                  int *ret_fd, char *why, size_t why_cap);
void listener_close(int fd,
                    const struct listen_address *address); /* removes a unix socket's file */

/* Where a connection comes from. */
struct peer_address {
    bool has_ip; /* false: a unix socket; the rest is zero */
    struct ip ip;
};

/* The next connection, non-blocking, and where it comes from, which the socket itself can no longer
 * tell when the peer has reset it meanwhile. -1: errno says why, as of accept4. */
int listener_accept(int fd, struct peer_address *ret_peer);

/* The same of a socket; has_ip false where it cannot tell, too. */
struct peer_address listener_peer_address(int fd);

/* "HOST:PORT" where it listens really (port 0 chooses one); "unix:PATH". */
void listener_describe(int fd, char *out, size_t cap);

/* The peer's address without its port; "unix" for a unix socket. */
enum { ADDRESS_MAX_BYTES = 64 }; /* of any address, with its NUL */
void listener_peer(int fd, char *out, size_t cap);

#endif
