#include "gateway/net/transport.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { COPIED_BYTES = 1024 };

static enum transport_state plain_read(struct transport *transport, int fd, uint8_t *bytes,
                                       struct transport_read *ret_read)
{
    (void)transport;
    *ret_read = (struct transport_read){0};
    ssize_t got = recv(fd, bytes, TRANSPORT_READ_BYTES, 0);
    if (got > 0) {
        ret_read->len = (size_t)got;
        return TRANSPORT_MOVED;
    }
    if (got == 0)
        return TRANSPORT_CLOSED;
    return errno == EAGAIN || errno == EINTR ? TRANSPORT_WANTS_READ : TRANSPORT_BROKEN;
}

/* A frame and a ping, or the head and the body of an answer, are copied together: for so few bytes
 * send(2) is cheaper than sendmsg(2), whose two structs the kernel must read first. */
static ssize_t send_copy(int fd, const struct iovec *iovecs, size_t n)
{
    uint8_t bytes[COPIED_BYTES];
    size_t len = 0;
    for (size_t i = 0; i < n; i++) {
        memcpy(bytes + len, iovecs[i].iov_base, iovecs[i].iov_len);
        len += iovecs[i].iov_len;
    }
    return send(fd, bytes, len, MSG_NOSIGNAL);
}

static ssize_t send_pieces(int fd, const struct iovec *iovecs, size_t n, size_t len)
{
    if (n == 1)
        return send(fd, iovecs->iov_base, len, MSG_NOSIGNAL);
    if (len <= COPIED_BYTES)
        return send_copy(fd, iovecs, n);
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)iovecs, .msg_iovlen = n};
    return sendmsg(fd, &message, MSG_NOSIGNAL);
}

static enum transport_state plain_write(struct transport *transport, int fd,
                                        const struct iovec *iovecs, size_t n, size_t *ret_len)
{
    (void)transport;
    size_t asked = 0;
    for (size_t i = 0; i < n; i++)
        asked += iovecs[i].iov_len;
    ssize_t sent = send_pieces(fd, iovecs, n, asked);
    if (sent < 0 && errno != EAGAIN && errno != EINTR)
        return TRANSPORT_BROKEN;
    *ret_len = sent > 0 ? (size_t)sent : 0;
    return *ret_len < asked ? TRANSPORT_WANTS_WRITE : TRANSPORT_MOVED;
}

static void plain_finish(struct transport *transport, int fd)
{
    (void)transport;
    (void)fd; /* a FIN is enough */
}

static void plain_free(struct transport *transport)
{
    (void)transport;
}

static const struct transport_ops plain_ops = {
    .read = plain_read, .write = plain_write, .finish = plain_finish, .free = plain_free};

struct transport transport_plain = {&plain_ops};

void transport_send_last(struct transport_socket socket, const void *bytes, size_t len)
{
    struct iovec iovec = {(void *)(uintptr_t)bytes, len};
    size_t written;
    (void)socket.transport->ops->write(socket.transport, socket.fd, &iovec, 1, &written);
}

void transport_close(struct transport_socket socket)
{
    socket.transport->ops->finish(socket.transport, socket.fd);
    socket.transport->ops->free(socket.transport);
    close(socket.fd);
}
