/* Outgoing connections: TCP and unix sockets, non-blocking. Any thread; no call blocks.
 *
 * To connect to a numeric address, call tcp_address_of and tcp_connect. A name must be looked up
 * first: call tcp_look_up, wait until its descriptor is readable (EPOLLIN), and call
 * tcp_looked_up. */
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

/* false: the host is not a numeric address (or the port is not valid). */
bool tcp_address_of(const char *host, const char *port, struct tcp_address *ret_address);

/* Starts to look up a name, on a separate thread because resolvers block, in the worst case for
 * half a minute. The caller closes *ret_fd, at any time: it is all that the thread shares with it.
 * If a name has several addresses, attempt n gets the n-th, cyclically. ERR_SYSTEM, ERR_NO_MEMORY:
 * *why says what failed. */
MUST_CHECK enum err tcp_look_up(const char *host, const char *port, unsigned attempt, int *ret_fd,
                                char *why, size_t why_cap);
/* ERR_SYSTEM: *why is the resolver's text ("Name or service not known"). */
MUST_CHECK enum err tcp_looked_up(int fd, struct tcp_address *ret_address, char *why,
                                  size_t why_cap);

/* Starts to connect; *ret_fd is a non-blocking socket that the caller closes. Wait until it is
 * writable (EPOLLOUT), then call tcp_connect_error. ERR_SYSTEM: *why says what failed ("connection
 * refused"). */
MUST_CHECK enum err tcp_connect(const struct tcp_address *address, int *ret_fd, char *why,
                                size_t why_cap);
MUST_CHECK enum err tcp_connect_unix(const char *path, int *ret_fd, char *why, size_t why_cap);

/* 0: connected. EINPROGRESS: not yet. Otherwise the errno with which it failed. */
int tcp_connect_error(int fd);

#endif
