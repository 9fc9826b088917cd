/* Loaded in front of libc into a Herald: raises a signal in it at a message of the link between a
 * running Herald and its successor (gateway/upgrade/upgrade_link.h).
 *
 *     UPGRADE_FAULT=SIDE,MOMENT,KIND,N,SIGNAL[;SIDE,...]    one of each side
 *         SIDE    old or new: the process that was started by hand, or the one that it has started
 *         MOMENT  before or after the N-th message of that kind is sent by it
 *
 * Messages are known by their sendmsg: two parts, of which the first is a header of eight bytes, to
 * a unix socket. */
#include <dlfcn.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

struct header {
    uint32_t length;
    uint16_t kind;
    uint16_t n_fds;
};

static struct {
    bool is_armed;
    bool is_before;
    unsigned kind;
    unsigned n;
    int signal;
} fault;

static ssize_t (*real_sendmsg)(int fd, const struct msghdr *message, int flags);

/* The variable of the link is there when the process was started by another one. */
__attribute__((constructor)) static void read_fault(void)
{
    char side[8];
    char moment[8];
    const char *text = getenv("UPGRADE_FAULT");
    bool is_new = getenv("HERALD_HANDOVER_FD") != NULL;
    *(void **)&real_sendmsg = dlsym(RTLD_NEXT, "sendmsg");
    while (text != NULL && !fault.is_armed) {
        if (sscanf(text, "%7[a-z],%7[a-z],%u,%u,%d", side, moment, &fault.kind, &fault.n,
                   &fault.signal) != 5)
            return;
        fault.is_before = strcmp(moment, "before") == 0;
        fault.is_armed = (strcmp(side, "new") == 0) == is_new;
        text = strchr(text, ';');
        text = text == NULL ? NULL : text + 1;
    }
}

static bool is_the_message(int fd, const struct msghdr *message)
{
    struct header header;
    int domain = 0;
    socklen_t len = sizeof domain;
    if (!fault.is_armed || message->msg_iovlen != 2 ||
        message->msg_iov[0].iov_len != sizeof header ||
        getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) != 0 || domain != AF_UNIX)
        return false;
    memcpy(&header, message->msg_iov[0].iov_base, sizeof header);
    return header.kind == fault.kind && --fault.n == 0;
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    bool is_it = is_the_message(fd, message);
    if (is_it)
        fault.is_armed = false;
    if (is_it && fault.is_before)
        kill(getpid(), fault.signal);
    ssize_t sent = real_sendmsg(fd, message, flags);
    if (is_it && !fault.is_before)
        kill(getpid(), fault.signal);
    return sent;
}
