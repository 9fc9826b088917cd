/* Outgoing connections: TCP and unix sockets, non-blocking. Any thread. */
#ifndef HERALD_NET_TCP_H
#define HERALD_NET_TCP_H

#include "proto/error.h"

#include <stddef.h>

/* Begins to connect; *ret_fd is a non-blocking socket that the caller closes. Wait until it is
 * writable (EPOLLOUT), then ask tcp_connect_error. A numeric host costs nothing; a name is looked
 * up with getaddrinfo, which blocks for as long as the resolver takes, so give names only where a
 * thread may stand still. A name with several addresses: attempt n uses the n-th, round and round.
 * ERR_SYSTEM: *why is what went wrong ("connection refused"). */
MUST_CHECK enum err tcp_connect(const char *host, const char *port, unsigned attempt, int *ret_fd,
                                char *why, size_t why_cap);
MUST_CHECK enum err tcp_connect_unix(const char *path, int *ret_fd, char *why, size_t why_cap);

/* 0: connected. EINPROGRESS: not yet. Else the errno that ended it. */
int tcp_connect_error(int fd);

#endif
