/* Listening sockets: TCP and unix. Both the subscriber port and the admin port use them. */
#ifndef HERALD_NET_LISTENER_H
#define HERALD_NET_LISTENER_H

#include "gateway/base/listen_address.h"
#include "gateway/net/socket_rights.h"
#include "proto/bytes/cidr.h"

/* Binds and listens; *ret_fd is a non-blocking socket that the caller closes with listener_close.
 * SO_REUSEPORT is not set, so that two Heralds cannot share a port by mistake. [::] accepts IPv4 as
 * well, unless address->is_v6_only. A unix socket on which nobody listens any more is replaced; the
 * new one has `rights` before anybody can connect (NULL: the rights that the umask leaves).
 * ERR_SYSTEM: *why is a sentence that says what to do. */
MUST_CHECK enum err listener_open(const struct listen_address *address,
                                  const struct socket_rights *rights, const char *option,
                                  int *ret_fd, char *why, size_t why_cap);
void listener_hide(const struct listen_address *address); /* removes a unix socket's file */
void listener_close(int fd,
                    const struct listen_address *address); /* removes a unix socket's file */

/* Does the listening socket listen where the address says? A host is resolved for that; with port 0
 * nobody can tell, and the answer is false. */
bool listener_is_at(int fd, const struct listen_address *address);

/* The address of a connection's peer. */
struct peer_address {
    bool has_ip; /* false: a unix socket; the rest is zero */
    struct ip ip;
};

/* Accepts the next connection, non-blocking, with its peer's address, which getpeername does not
 * return any more if the peer has reset the connection meanwhile. -1: errno is that of accept4. */
int listener_accept(int fd, struct peer_address *ret_peer);

/* The peer address of a socket; has_ip is also false if it is not known. */
struct peer_address listener_peer_address(int fd);

/* Writes the actual address, "HOST:PORT" (the kernel has chosen the port for port 0) or
 * "unix:PATH". */
void listener_describe(int fd, char *out, size_t cap);

/* Writes the peer's address without its port; "unix" for a unix socket. */
enum { ADDRESS_MAX_BYTES = 64 }; /* of any address, with its NUL */
void listener_peer(int fd, char *out, size_t cap);

#endif
