#include "gateway/net/tcp.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static enum err say_errno(char *why, size_t why_cap)
{
    snprintf(why, why_cap, "%s", strerrordesc_np(errno));
    return ERR_SYSTEM;
}

/* Numeric first, because then nothing is asked of a resolver. */
static int look_up(const char *host, const char *port, struct addrinfo **ret_list)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    if (getaddrinfo(host, port, &hints, ret_list) == 0)
        return 0;
    hints.ai_flags = AI_NUMERICSERV;
    return getaddrinfo(host, port, &hints, ret_list);
}

static const struct addrinfo *choose(const struct addrinfo *list, unsigned attempt)
{
    unsigned n = 0;
    for (const struct addrinfo *at = list; at != NULL; at = at->ai_next)
        n++;
    const struct addrinfo *chosen = list;
    for (unsigned i = attempt % n; i > 0; i--)
        chosen = chosen->ai_next;
    return chosen;
}

static enum err begin(int fd, const struct sockaddr *address, socklen_t len, int *ret_fd, char *why,
                      size_t why_cap)
{
    if (connect(fd, address, len) != 0 && errno != EINPROGRESS) {
        enum err error = say_errno(why, why_cap);
        close(fd);
        return error;
    }
    *ret_fd = fd;
    return ERR_OK;
}

enum err tcp_connect(const char *host, const char *port, unsigned attempt, int *ret_fd, char *why,
                     size_t why_cap)
{
    struct addrinfo *list = NULL;
    int failure = look_up(host, port, &list);
    if (failure != 0) {
        snprintf(why, why_cap, "%s", gai_strerror(failure));
        return ERR_SYSTEM;
    }
    enum err error;
    const struct addrinfo *to = choose(list, attempt);
    int fd = socket(to->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        error = say_errno(why, why_cap);
    } else {
        int on = 1; /* both are best effort: the connection works without them */
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
        error = begin(fd, to->ai_addr, to->ai_addrlen, ret_fd, why, why_cap);
    }
    freeaddrinfo(list);
    return error;
}

enum err tcp_connect_unix(const char *path, int *ret_fd, char *why, size_t why_cap)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        snprintf(why, why_cap, "the path of the socket is too long");
        return ERR_SYSTEM;
    }
    memcpy(address.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return say_errno(why, why_cap);
    return begin(fd, (const struct sockaddr *)&address, sizeof address, ret_fd, why, why_cap);
}

int tcp_connect_error(int fd)
{
    int failure = 0;
    socklen_t len = sizeof failure;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &len) != 0)
        return errno;
    if (failure != 0)
        return failure;
    struct sockaddr_storage peer;
    socklen_t peer_len = sizeof peer;
    if (getpeername(fd, (struct sockaddr *)&peer, &peer_len) != 0)
        return errno == ENOTCONN ? EINPROGRESS : errno;
    return 0;
}
