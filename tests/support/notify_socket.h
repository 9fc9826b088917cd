/* The other end of NOTIFY_SOCKET, for unit tests of what a service manager is told. */
#ifndef HERALD_TESTS_NOTIFY_SOCKET_H
#define HERALD_TESTS_NOTIFY_SOCKET_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static char notify_socket_directory[] = "/tmp/herald-test-notify-XXXXXX";
static char notify_socket_path[128];
static int notify_socket_fd = -1;

static inline int notify_socket_bind(const struct sockaddr_un *address, socklen_t len)
{
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    cr_assert_geq(fd, 0);
    cr_assert_eq(bind(fd, (const struct sockaddr *)address, len), 0);
    return fd;
}

static inline void notify_socket_listen(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, notify_socket_path, strlen(notify_socket_path));
    notify_socket_fd = notify_socket_bind(&address, sizeof address);
}

/* Sets NOTIFY_SOCKET to a socket in a directory of its own, and no watchdog. */
static inline void notify_socket_begin(void)
{
    cr_assert_not_null(mkdtemp(notify_socket_directory));
    snprintf(notify_socket_path, sizeof notify_socket_path, "%s/notify", notify_socket_directory);
    setenv("NOTIFY_SOCKET", notify_socket_path, 1);
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    notify_socket_listen();
}

/* The next datagram, valid until the next call; "": none has come. */
static inline const char *notify_socket_heard(void)
{
    static char text[4096];
    ssize_t len = recv(notify_socket_fd, text, sizeof text - 1, 0);
    text[len > 0 ? len : 0] = '\0';
    return text;
}

static inline void notify_socket_empty(void)
{
    while (notify_socket_heard()[0] != '\0') {
    }
}

static inline void notify_socket_end(void)
{
    close(notify_socket_fd);
    unlink(notify_socket_path);
    rmdir(notify_socket_directory);
}

#endif
