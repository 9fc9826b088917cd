/* Opens one listening address. A Unix socket is bound to its path; a socket file on which nobody
 * listens is left over from an earlier run, and is removed first. A TCP address is resolved, and
 * the first of the results that can be bound and listened on is used. A failure closes what was
 * opened, and `why` has the option, the address, the system's error text and what to do about
 * it. */
#include "gateway/net/listener.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 4096 }; /* the kernel lowers it to net.core.somaxconn */

/* An address of one of the three families. */
union any_address {
    struct sockaddr sa;
    struct sockaddr_storage storage;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_un un;
};

static void write_why(const char *option, const char *where, int code, char *why, size_t why_cap)
{
    const char *advice = "";
    if (code == EADDRINUSE)
        advice =
            "; another program, or another port of Herald's, is there: stop it, or choose another"
            " with this option";
    else if (code == EACCES)
        advice = "; this user may not: choose a port above 1023 or another path";
    else if (code == EADDRNOTAVAIL)
        advice = "; this machine has no such address";
    snprintf(why, why_cap, "--%s: cannot listen on %.300s: %s%s", option, where, strerror(code),
             advice);
}

/* Only a socket may be replaced. connect() does not distinguish: it refuses another kind of file
 * like a socket on which nobody listens. */
static bool is_socket(const char *path)
{
    struct stat found;
    return lstat(path, &found) == 0 && S_ISSOCK(found.st_mode);
}

static bool is_answered(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return true;
    bool is_answered = connect(fd, (const struct sockaddr *)address, sizeof *address) == 0 ||
                       errno != ECONNREFUSED;
    close(fd);
    return is_answered;
}

static enum err listen_with_rights(int fd, const char *path, const struct socket_rights *rights,
                                   const char *option, char *why, size_t why_cap)
{
    const char *what = NULL;
    if ((rights == NULL || socket_rights_apply(rights, path, &what) == ERR_OK) &&
        listen(fd, BACKLOG) == 0)
        return ERR_OK;
    if (what != NULL)
        snprintf(why, why_cap, "%s (%.300s): %s", what, path, strerror(errno));
    else
        write_why(option, path, errno, why, why_cap);
    unlink(path);
    return ERR_SYSTEM;
}

static enum err open_unix(const struct listen_address *address, const struct socket_rights *rights,
                          const char *option, int *ret_fd, char *why, size_t why_cap)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    if (strlen(address->host) >= sizeof un.sun_path) {
        snprintf(why, why_cap, "--%s: the path of a unix socket is at most %zu bytes long", option,
                 sizeof un.sun_path - 1);
        return ERR_INVALID_FIELD;
    }
    memcpy(un.sun_path, address->host, strlen(address->host) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        goto failed;
    if (rights != NULL)
        socket_rights_prepare(rights, fd);
    int bound = bind(fd, (struct sockaddr *)&un, sizeof un);
    if (bound != 0 && errno == EADDRINUSE && is_socket(un.sun_path) && !is_answered(&un)) {
        unlink(un.sun_path);
        bound = bind(fd, (struct sockaddr *)&un, sizeof un);
    }
    if (bound != 0)
        goto failed;
    enum err error = listen_with_rights(fd, un.sun_path, rights, option, why, why_cap);
    if (error == ERR_OK)
        *ret_fd = fd;
    else
        close(fd);
    return error;

failed:
    write_why(option, address->host, errno, why, why_cap);
    if (fd >= 0)
        close(fd);
    return ERR_SYSTEM;
}

static int open_tcp_address(const struct addrinfo *found, bool is_v6_only)
{
    int one = 1;
    int only = is_v6_only;
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    /* A restart must not wait for TIME_WAIT; a second listener is still refused. */
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (found->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only);
    if (bind(fd, found->ai_addr, found->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int code = errno;
    close(fd);
    errno = code;
    return -1;
}

enum err listener_open(const struct listen_address *address, const struct socket_rights *rights,
                       const char *option, int *ret_fd, char *why, size_t why_cap)
{
    if (address->is_unix)
        return open_unix(address, rights, option, ret_fd, why, why_cap);

    char where[300];
    snprintf(where, sizeof where, "%s:%s", address->host, address->port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int code = getaddrinfo(address->host, address->port, &hints, &found);
    if (code != 0) {
        snprintf(why, why_cap, "--%s: %s: %s", option, where, gai_strerror(code));
        return ERR_SYSTEM;
    }
    int fd = open_tcp_address(found, address->is_v6_only);
    int open_errno = errno;
    freeaddrinfo(found);
    if (fd < 0) {
        write_why(option, where, open_errno, why, why_cap);
        return ERR_SYSTEM;
    }
    *ret_fd = fd;
    return ERR_OK;
}

void listener_hide(const struct listen_address *address)
{
    if (address->is_unix)
        unlink(address->host);
}

void listener_close(int fd, const struct listen_address *address)
{
    listener_hide(address);
    close(fd);
}

static bool is_same_endpoint(const union any_address *any, const struct sockaddr *other)
{
    const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)other;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)other;
    if (any->sa.sa_family != other->sa_family)
        return false;
    if (other->sa_family == AF_INET)
        return any->in.sin_port == in->sin_port && any->in.sin_port != 0 &&
               any->in.sin_addr.s_addr == in->sin_addr.s_addr;
    return other->sa_family == AF_INET6 && any->in6.sin6_port == in6->sin6_port &&
           any->in6.sin6_port != 0 && IN6_ARE_ADDR_EQUAL(&any->in6.sin6_addr, &in6->sin6_addr);
}

bool listener_is_at(int fd, const struct listen_address *address)
{
    union any_address any = {0};
    socklen_t len = sizeof any;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    if (getsockname(fd, &any.sa, &len) != 0 || address->is_unix != (any.sa.sa_family == AF_UNIX))
        return false;
    if (address->is_unix)
        return strncmp(any.un.sun_path, address->host, sizeof any.un.sun_path) == 0;
    if (getaddrinfo(address->host, address->port, &hints, &found) != 0)
        return false;
    bool is_found = false;
    for (const struct addrinfo *one = found; one != NULL && !is_found; one = one->ai_next)
        is_found = is_same_endpoint(&any, one->ai_addr);
    freeaddrinfo(found);
    return is_found;
}

/* with_port: a listener's address; otherwise a peer's. */
static void describe_address(const union any_address *any, bool with_port, char *out, size_t cap)
{
    static const char mapped[] = "::ffff:";
    char host[INET6_ADDRSTRLEN] = "?";
    char port[8] = "?";
    if (any->sa.sa_family == AF_UNIX) {
        if (with_port)
            snprintf(out, cap, "unix:%s", any->un.sun_path);
        else
            snprintf(out, cap, "unix");
        return;
    }
    getnameinfo(&any->sa, sizeof any->storage, host, sizeof host, port, sizeof port,
                NI_NUMERICHOST | NI_NUMERICSERV);
    /* An IPv4 peer of a socket that accepts both families. */
    bool is_mapped = any->sa.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&any->in6.sin6_addr) &&
                     strncmp(host, mapped, sizeof mapped - 1) == 0;
    if (!with_port)
        snprintf(out, cap, "%s", is_mapped ? host + sizeof mapped - 1 : host);
    else if (any->sa.sa_family == AF_INET6)
        snprintf(out, cap, "[%s]:%s", host, port);
    else
        snprintf(out, cap, "%s:%s", host, port);
}

static struct peer_address peer_address_of(const union any_address *any)
{
    struct peer_address peer = {0};
    if (any->sa.sa_family == AF_INET)
        peer.ip = ip_from_v4((const uint8_t *)&any->in.sin_addr.s_addr);
    else if (any->sa.sa_family == AF_INET6)
        memcpy(peer.ip.bytes, any->in6.sin6_addr.s6_addr, sizeof peer.ip.bytes);
    peer.has_ip = any->sa.sa_family == AF_INET || any->sa.sa_family == AF_INET6;
    return peer;
}

int listener_accept(int fd, struct peer_address *ret_peer)
{
    union any_address any = {0};
    socklen_t len = sizeof any;
    int accepted = accept4(fd, &any.sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    *ret_peer = accepted < 0 ? (struct peer_address){0} : peer_address_of(&any);
    return accepted;
}

struct peer_address listener_peer_address(int fd)
{
    union any_address any = {0};
    socklen_t len = sizeof any;
    if (getpeername(fd, &any.sa, &len) != 0)
        return (struct peer_address){0};
    return peer_address_of(&any);
}

void listener_describe(int fd, char *out, size_t cap)
{
    union any_address any = {0};
    socklen_t len = sizeof any;
    if (getsockname(fd, &any.sa, &len) == 0)
        describe_address(&any, true, out, cap);
    else
        snprintf(out, cap, "?");
}

void listener_peer(int fd, char *out, size_t cap)
{
    union any_address any = {0};
    socklen_t len = sizeof any;
    if (getpeername(fd, &any.sa, &len) == 0)
        describe_address(&any, false, out, cap);
    else
        snprintf(out, cap, "?");
}
