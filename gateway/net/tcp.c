/* Outgoing connections. A numeric address needs no lookup. A name is looked up on a detached
 * thread, because the resolver blocks and cannot be stopped: the thread owns its own copy of the
 * name and one end of a socket pair, writes the address there and ends. Nobody joins it; an owner
 * that no longer needs the result closes its end. */
#include "gateway/net/tcp.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

static enum err write_errno(char *why, size_t why_cap)
{
    snprintf(why, why_cap, "%s", strerrordesc_np(errno));
    return ERR_SYSTEM;
}

/* ---- looking up names ---- */

/* Elsewhere threads use the mailbox. Here it is a socket pair, because the thread cannot be stopped
 * while the resolver blocks, and so may outlive the reactor. */
struct lookup {
    char host[NI_MAXHOST];
    char port[NI_MAXSERV];
    unsigned attempt;
    int fd; /* the thread's end */
};

struct lookup_answer {
    int failure; /* the error of getaddrinfo, or 0 */
    struct tcp_address address;
};

static const struct addrinfo *choose_address(const struct addrinfo *list, unsigned attempt)
{
    unsigned n = 0;
    for (const struct addrinfo *at = list; at != NULL; at = at->ai_next)
        n++;
    const struct addrinfo *chosen = list;
    for (unsigned i = attempt % n; i > 0; i--)
        chosen = chosen->ai_next;
    return chosen;
}

static int resolve_host(const char *host, const char *port, int flags, unsigned attempt,
                        struct tcp_address *ret_address)
{
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | flags};
    struct addrinfo *list = NULL;
    int failure = getaddrinfo(host, port, &hints, &list);
    if (failure != 0)
        return failure;
    const struct addrinfo *chosen = choose_address(list, attempt);
    ret_address->len = chosen->ai_addrlen;
    memcpy(&ret_address->storage, chosen->ai_addr, chosen->ai_addrlen);
    freeaddrinfo(list);
    return 0;
}

bool tcp_address_of(const char *host, const char *port, struct tcp_address *ret_address)
{
    return resolve_host(host, port, AI_NUMERICHOST, 0, ret_address) == 0;
}

static void *run_lookup(void *argument)
{
    struct lookup *lookup = argument;
    struct lookup_answer answer;
    memset(&answer, 0, sizeof answer); /* the padding is sent, too */
    answer.failure = resolve_host(lookup->host, lookup->port, 0, lookup->attempt, &answer.address);
    ssize_t sent = send(lookup->fd, &answer, sizeof answer, MSG_NOSIGNAL);
    (void)sent; /* the owner has closed its end */
    close(lookup->fd);
    free(lookup);
    return NULL;
}

/* Starts a detached thread. Signals are blocked in it: another thread waits for them. */
static int start_lookup(struct lookup *lookup)
{
    pthread_attr_t attributes;
    int code = pthread_attr_init(&attributes);
    if (code != 0)
        return code;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    pthread_t thread;
    code = pthread_create(&thread, &attributes, run_lookup, lookup);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return code;
}

enum err tcp_look_up(const char *host, const char *port, unsigned attempt, int *ret_fd, char *why,
                     size_t why_cap)
{
    struct lookup *lookup = calloc(1, sizeof *lookup);
    if (lookup == NULL) {
        snprintf(why, why_cap, "out of memory");
        return ERR_NO_MEMORY;
    }
    enum err error = ERR_SYSTEM;
    int fds[2];
    snprintf(lookup->host, sizeof lookup->host, "%s", host); /* host names have at most 255 bytes */
    snprintf(lookup->port, sizeof lookup->port, "%s", port);
    lookup->attempt = attempt;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0) {
        error = write_errno(why, why_cap);
        goto undo_alloc;
    }
    lookup->fd = fds[1];
    int code = start_lookup(lookup);
    if (code != 0) {
        snprintf(why, why_cap, "cannot start a thread: %s", strerrordesc_np(code));
        goto undo_sockets;
    }
    *ret_fd = fds[0];
    return ERR_OK;

undo_sockets:
    close(fds[0]);
    close(fds[1]);
undo_alloc:
    free(lookup);
    return error;
}

enum err tcp_looked_up(int fd, struct tcp_address *ret_address, char *why, size_t why_cap)
{
    struct lookup_answer answer;
    ssize_t got = recv(fd, &answer, sizeof answer, MSG_DONTWAIT);
    if (got != (ssize_t)sizeof answer) {
        snprintf(why, why_cap, "the look-up of the name ended without an answer");
        return ERR_SYSTEM;
    }
    if (answer.failure != 0) {
        snprintf(why, why_cap, "%s", gai_strerror(answer.failure));
        return ERR_SYSTEM;
    }
    *ret_address = answer.address;
    return ERR_OK;
}

/* ---- connecting ---- */

static enum err begin_connecting(int fd, const struct sockaddr *address, socklen_t len, int *ret_fd,
                                 char *why, size_t why_cap)
{
    if (connect(fd, address, len) != 0 && errno != EINPROGRESS) {
        enum err error = write_errno(why, why_cap);
        close(fd);
        return error;
    }
    *ret_fd = fd;
    return ERR_OK;
}

enum err tcp_connect(const struct tcp_address *address, int *ret_fd, char *why, size_t why_cap)
{
    int fd = socket(address->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return write_errno(why, why_cap);
    int on = 1; /* both are best effort: the connection works without them */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    return begin_connecting(fd, (const struct sockaddr *)&address->storage, address->len, ret_fd,
                            why, why_cap);
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
        return write_errno(why, why_cap);
    return begin_connecting(fd, (const struct sockaddr *)&address, sizeof address, ret_fd, why,
                            why_cap);
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
