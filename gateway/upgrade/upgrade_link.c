/* A message is sent with as many calls as it takes; its descriptors go with the first of them. The
 * kernel gives them to the reader with the first byte of that call, so a reader has them all when
 * it has read the header. It asks for no byte beyond the message that it reads. */
#include "gateway/upgrade/upgrade_link.h"

#include "gateway/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { CROWDED_WAIT_MS = 2 }; /* until the peer may have received descriptors that are in flight */

struct header {
    uint32_t length;
    uint16_t kind;
    uint16_t n_fds;
};

/* The kernel's form of a message's descriptors. */
union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int) * UPGRADE_MAX_FDS)];
};

struct upgrade_link {
    int fd;
    /* the message that is being received */
    struct header header;
    size_t header_len; /* how much of it has come */
    char *bytes;
    size_t cap;
    size_t len;
    bool is_given; /* it was complete, and the next one begins */
    unsigned n_fds;
    int fds[UPGRADE_MAX_FDS];
};

enum err upgrade_link_new(int fd, struct upgrade_link **ret_link)
{
    struct upgrade_link *link = calloc(1, sizeof *link);
    if (link == NULL)
        return ERR_NO_MEMORY;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
        fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
        free(link);
        return ERR_SYSTEM;
    }
    link->fd = fd;
    *ret_link = link;
    return ERR_OK;
}

static void close_fds(struct upgrade_link *link)
{
    for (unsigned i = 0; i < link->n_fds; i++) {
        if (link->fds[i] >= 0)
            close(link->fds[i]);
    }
    link->n_fds = 0;
}

void upgrade_link_free(struct upgrade_link *link)
{
    if (link == NULL)
        return;
    close_fds(link);
    close(link->fd);
    free(link->bytes);
    free(link);
}

int upgrade_link_fd(const struct upgrade_link *link)
{
    return link->fd;
}

/* false: not by then. */
static bool wait_for(const struct upgrade_link *link, short events, int64_t end_ms)
{
    struct pollfd watched = {.fd = link->fd, .events = events};
    for (;;) {
        int64_t left_ms = end_ms - clock_monotonic_ms();
        int n = poll(&watched, 1, left_ms < 0 ? 0 : left_ms > INT32_MAX ? INT32_MAX : (int)left_ms);
        if (n > 0)
            return true;
        if (left_ms <= 0 && n == 0)
            return false;
    }
}

/* ---- to send ---- */

static void add_fds(struct msghdr *message, union control *control, const int *fds, unsigned n)
{
    message->msg_control = control->bytes;
    message->msg_controllen = CMSG_SPACE(sizeof(int) * n);
    struct cmsghdr *part = CMSG_FIRSTHDR(message);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(sizeof(int) * n);
    memcpy(CMSG_DATA(part), fds, sizeof(int) * n);
}

/* Waits for what kept the last sendmsg from sending. false: it was no lack of room, or not in
 * time. */
static bool wait_for_room(const struct upgrade_link *link, int64_t end_ms)
{
    if (errno == EINTR)
        return true;
    /* The kernel limits how many descriptors are in flight, not how many bytes alone. */
    if (errno == ETOOMANYREFS) {
        usleep(CROWDED_WAIT_MS * 1000);
        errno = EAGAIN;
        return clock_monotonic_ms() < end_ms;
    }
    return errno == EAGAIN && wait_for(link, POLLOUT, end_ms);
}

enum err upgrade_link_send(struct upgrade_link *link, enum upgrade_kind kind, struct span bytes,
                           const int *fds, unsigned n_fds, int64_t end_ms)
{
    struct header header = {(uint32_t)bytes.len, (uint16_t)kind, (uint16_t)n_fds};
    union control control = {0};
    size_t sent = 0;
    if (bytes.len > UPGRADE_MAX_BYTES || n_fds > UPGRADE_MAX_FDS) {
        errno = EMSGSIZE;
        return ERR_SYSTEM;
    }
    while (sent < sizeof header + bytes.len) {
        size_t of_header = sent < sizeof header ? sizeof header - sent : 0;
        size_t of_bytes = of_header > 0 ? 0 : sent - sizeof header;
        struct iovec parts[] = {
            {(char *)&header + (sizeof header - of_header), of_header},
            {(char *)bytes.bytes + of_bytes, bytes.len - of_bytes},
        };
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
        if (sent == 0 && n_fds > 0)
            add_fds(&message, &control, fds, n_fds);
        ssize_t n = sendmsg(link->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n >= 0)
            sent += (size_t)n;
        else if (!wait_for_room(link, end_ms))
            return errno == EAGAIN ? ERR_BUSY : ERR_SYSTEM;
    }
    return ERR_OK;
}

/* ---- to receive ---- */

/* false: more descriptors than a message may have. */
static bool keep_fds(struct upgrade_link *link, struct msghdr *message)
{
    bool is_whole = (message->msg_flags & MSG_CTRUNC) == 0;
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part != NULL;
         part = CMSG_NXTHDR(message, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
            continue;
        size_t n = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(part) + i * sizeof fd, sizeof fd);
            if (link->n_fds < UPGRADE_MAX_FDS) {
                link->fds[link->n_fds++] = fd;
            } else {
                close(fd);
                is_whole = false;
            }
        }
    }
    return is_whole;
}

/* At most `size` bytes; *ret_n is how many have come. UPGRADE_MESSAGE: some. */
static enum upgrade_receipt read_some(struct upgrade_link *link, void *out, size_t size,
                                      size_t *ret_n)
{
    union control control;
    struct iovec part = {out, size};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    ssize_t n = recvmsg(link->fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (n == 0)
        return UPGRADE_CLOSED;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return UPGRADE_NOTHING;
    if (n < 0) /* a peer that has died with bytes of ours unread resets the link */
        return errno == ECONNRESET ? UPGRADE_CLOSED : UPGRADE_FAILED;
    *ret_n = (size_t)n;
    return keep_fds(link, &message) ? UPGRADE_MESSAGE : UPGRADE_MALFORMED;
}

static enum upgrade_receipt make_room(struct upgrade_link *link)
{
    if (link->header.kind == 0 || link->header.length > UPGRADE_MAX_BYTES ||
        link->header.n_fds != link->n_fds)
        return UPGRADE_MALFORMED;
    if (link->header.length <= link->cap)
        return UPGRADE_MESSAGE;
    char *bytes = realloc(link->bytes, link->header.length);
    if (bytes == NULL)
        return UPGRADE_FAILED;
    link->bytes = bytes;
    link->cap = link->header.length;
    return UPGRADE_MESSAGE;
}

static bool is_complete(const struct upgrade_link *link)
{
    return link->header_len == sizeof link->header && link->len == link->header.length;
}

/* One step on the way to a complete message. UPGRADE_MESSAGE: it went on. */
static enum upgrade_receipt read_on(struct upgrade_link *link)
{
    size_t n = 0;
    enum upgrade_receipt receipt;
    if (link->header_len < sizeof link->header) {
        receipt = read_some(link, (char *)&link->header + link->header_len,
                            sizeof link->header - link->header_len, &n);
        link->header_len += n;
        if (receipt == UPGRADE_MESSAGE && link->header_len == sizeof link->header)
            receipt = make_room(link);
        return receipt;
    }
    receipt = read_some(link, link->bytes + link->len, link->header.length - link->len, &n);
    link->len += n;
    if (receipt == UPGRADE_MESSAGE && link->n_fds != link->header.n_fds)
        receipt = UPGRADE_MALFORMED;
    return receipt;
}

enum upgrade_receipt upgrade_link_receive(struct upgrade_link *link, int64_t end_ms,
                                          struct upgrade_message *ret_message)
{
    if (link->is_given) {
        close_fds(link);
        link->header_len = 0;
        link->len = 0;
        link->is_given = false;
    }
    while (!is_complete(link)) {
        enum upgrade_receipt receipt = read_on(link);
        if (receipt == UPGRADE_NOTHING && !wait_for(link, POLLIN, end_ms))
            return UPGRADE_NOTHING;
        if (receipt != UPGRADE_MESSAGE && receipt != UPGRADE_NOTHING)
            return receipt;
    }
    link->is_given = true;
    *ret_message = (struct upgrade_message){
        .kind = (enum upgrade_kind)link->header.kind,
        .bytes = {link->bytes, link->len},
        .n_fds = link->n_fds,
        .fds = link->fds,
    };
    return UPGRADE_MESSAGE;
}
