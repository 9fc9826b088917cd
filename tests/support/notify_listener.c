/* herald-notify-listener ADDRESS: a service manager's end of NOTIFY_SOCKET, for tests that have no
 * datagram sockets. ADDRESS is a path, or @NAME in the abstract namespace. It writes "listening",
 * and then a line for each datagram until it is ended: the sender's process, and the lines of the
 * datagram, with tabs between them. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

static int bind_at(const char *where)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(where);
    int on = 1;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || len >= sizeof address.sun_path)
        return -1;
    memcpy(address.sun_path, where, len + 1);
    if (where[0] == '@')
        address.sun_path[0] = '\0';
    socklen_t address_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) != 0 ||
        bind(fd, (struct sockaddr *)&address, address_len) != 0)
        return -1;
    return fd;
}

static long sender_of(struct msghdr *message)
{
    struct ucred credentials = {0};
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part != NULL;
         part = CMSG_NXTHDR(message, part)) {
        if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_CREDENTIALS)
            memcpy(&credentials, CMSG_DATA(part), sizeof credentials);
    }
    return (long)credentials.pid;
}

static int print_next(int fd)
{
    char text[8192];
    union {
        struct cmsghdr alignment;
        char bytes[CMSG_SPACE(sizeof(struct ucred))];
    } control;
    struct iovec part = {text, sizeof text - 1};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    ssize_t len = recvmsg(fd, &message, 0);
    if (len < 0)
        return errno == EINTR;
    while (len > 0 && text[len - 1] == '\n')
        len--;
    for (ssize_t i = 0; i < len; i++) {
        if (text[i] == '\n')
            text[i] = '\t';
    }
    text[len] = '\0';
    printf("%ld\t%s\n", sender_of(&message), text);
    return 1;
}

int main(int argc, char **argv)
{
    int fd = argc == 2 ? bind_at(argv[1]) : -1;
    if (fd < 0) {
        perror("usage: herald-notify-listener PATH|@NAME");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    puts("listening");
    while (print_next(fd)) {
    }
    return 1;
}
