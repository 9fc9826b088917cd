/* Ports and connections on 127.0.0.1, for tests that start a whole gateway. */
#ifndef HERALD_TESTS_LOOPBACK_H
#define HERALD_TESTS_LOOPBACK_H

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* A port that was free a moment ago. */
static inline unsigned loopback_free_port(void)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof any;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof any) != 0 ||
        getsockname(fd, (struct sockaddr *)&any, &len) != 0) {
        perror("no port is free");
        abort();
    }
    close(fd);
    return ntohs(any.sin_port);
}

/* Leaves with a FIN or with a reset. */
static inline void loopback_leave(int fd, bool with_reset)
{
    struct linger linger = {with_reset, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    close(fd);
}

/* -1: nobody answers. */
static inline int loopback_dial(unsigned port)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

#endif
