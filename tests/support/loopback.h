/* Ports and connections on 127.0.0.1, for tests that start a whole gateway. */
#ifndef HERALD_TESTS_LOOPBACK_H
#define HERALD_TESTS_LOOPBACK_H

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LOOPBACK_FIRST_PORT = 20000, LOOPBACK_PORTS = 12000 };

/* A socket that is bound and does not listen. Its port lies below those that the kernel gives to
 * clients: no connection can take it between the test and the use, or while what listens there is
 * started again. */
static inline int loopback_bind_free(int *ret_port)
{
    for (int i = 0; i < 1000; i++) {
        uint16_t random = 0;
        if (getrandom(&random, sizeof random, 0) != sizeof random)
            break;
        *ret_port = LOOPBACK_FIRST_PORT + random % LOOPBACK_PORTS;
        struct sockaddr_in address = {.sin_family = AF_INET,
                                      .sin_port = htons((uint16_t)*ret_port),
                                      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
            break;
        if (bind(fd, (struct sockaddr *)&address, sizeof address) == 0)
            return fd;
        close(fd);
    }
    perror("no port is free");
    abort();
}

/* A port that was free a moment ago. */
static inline unsigned loopback_free_port(void)
{
    int port;
    close(loopback_bind_free(&port));
    return (unsigned)port;
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
