/* Outgoing connections: TCP and unix sockets, non-blocking. Any thread; no call blocks.
 *
 * A host by its number is connected to at once: tcp_address_of, tcp_connect. A name is looked up
 * first: tcp_look_up, wait until the descriptor is readable (EPOLLIN), tcp_looked_up. */
#ifndef HERALD_NET_TCP_H
#define HERALD_NET_TCP_H

#include "proto/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

struct tcp_address {
    struct sockaddr_storage storage;
    socklen_t len;
};

/* false: the host is no number but a name (or the port is no port). */
bool tcp_address_of(const char *host, const char *port, struct tcp_address *ret_address);

/* Begins to look a name up; that is done on a thread of its own, because resolvers block, for half
 * a minute at worst. The caller closes *ret_fd, whenever it likes: the thread shares nothing else
 * with it. A name with several addresses: attempt n gets the n-th, round and round.
 * ERR_SYSTEM, ERR_NO_MEMORY: *why is what went wrong. */
MUST_CHECK enum err tcp_look_up(const char *host, const char *port, unsigned attempt, int *ret_fd,
                                char *why, size_t why_cap);
/* ERR_SYSTEM: *why is what the resolver says ("Name or service not known"). */
MUST_CHECK enum err tcp_looked_up(int fd, struct tcp_address *ret_address, char *why,
                                  size_t why_cap);

/* Begins to connect; *ret_fd is a non-blocking socket that the caller closes. Wait until it is
 * writable (EPOLLOUT), then ask tcp_connect_error.
 * ERR_SYSTEM: *why is what went wrong ("connection refused"). */
MUST_CHECK enum err tcp_connect(const struct tcp_address *address, int *ret_fd, char *why,
                                size_t why_cap);
MUST_CHECK enum err tcp_connect_unix(const char *path, int *ret_fd, char *why, size_t why_cap);

/* 0: connected. EINPROGRESS: not yet. Else the errno that ended it. */
int tcp_connect_error(int fd);

#endif
