/* The layer between a connection and its socket: plain (TCP, unix) or TLS. For conn.c and its
 * parts; one thread at a time. The socket is non-blocking and belongs to the caller. */
#ifndef HERALD_NET_TRANSPORT_H
#define HERALD_NET_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct transport {
    const struct transport_ops *ops;
};

enum transport_state {
    TRANSPORT_MOVED,       /* done; there may be more */
    TRANSPORT_WANTS_READ,  /* call again when the socket is readable */
    TRANSPORT_WANTS_WRITE, /* call again when the socket is writable */
    TRANSPORT_CLOSED,      /* reading: the peer has ended the stream properly */
    TRANSPORT_BROKEN,
};

/* A read returns at most TRANSPORT_READ_BYTES (the largest TLS record), or several small records,
 * for which the buffer has some more room: TRANSPORT_SMALL_BYTES, and what TLS reads ahead. */
enum {
    TRANSPORT_READ_BYTES = 16384,
    TRANSPORT_SMALL_BYTES = TRANSPORT_READ_BYTES / 4,
    TRANSPORT_AHEAD_BYTES = 1024,
    TRANSPORT_ROOM_BYTES = TRANSPORT_READ_BYTES + TRANSPORT_SMALL_BYTES + TRANSPORT_AHEAD_BYTES,
};

struct transport_read {
    size_t len;
    size_t cost_bytes; /* extra cost of the read, as a number of bytes that would cost as much */
};

struct transport_ops {
    /* Runs one bounded step of the handshake. MOVED: it is complete. NULL: there is no
     * handshake. */
    enum transport_state (*shake)(struct transport *transport, int fd);
    /* `bytes` has room for TRANSPORT_ROOM_BYTES. MOVED: ret_read->len bytes were read. Unread bytes
     * and the end of the stream stay in the socket, so that epoll reports them, except for what
     * has_unread tells of. WANTS_READ or WANTS_WRITE: there are no bytes yet. After WANTS_WRITE
     * there will be none, however many arrive, until the peer has read some of what it was sent, so
     * the caller must stop watching the socket for EPOLLIN. *ret_read is set in each case. */
    enum transport_state (*read)(struct transport *transport, int fd, uint8_t *bytes,
                                 struct transport_read *ret_read);
    /* Has the transport taken bytes from the socket which no read has returned yet? epoll does not
     * report those, so the caller must read again. NULL: it never has. */
    bool (*has_unread)(const struct transport *transport);
    /* Returns MOVED, WANTS_WRITE or BROKEN. After MOVED and WANTS_WRITE the kernel has accepted
     * *ret_len bytes. After WANTS_WRITE the next call must begin with the bytes that were not
     * accepted, and have at least as many. */
    enum transport_state (*write)(struct transport *transport, int fd, const struct iovec *iovecs,
                                  size_t n, size_t *ret_len);
    /* Sends the end of the stream to the peer, if the kernel accepts it. */
    void (*finish)(struct transport *transport, int fd);
    void (*free)(struct transport *transport);
};

/* The plain transport, shared by all connections. */
extern struct transport transport_plain;

/* A socket and its transport, while they pass from one owner to the next. */
struct transport_socket {
    int fd;
    struct transport *transport;
};

static inline bool transport_has_unread(const struct transport *transport)
{
    return transport->ops->has_unread != NULL && transport->ops->has_unread(transport);
}

/* For the owner of a socket without a connection: writes what the kernel accepts at once, then
 * closes both. */
void transport_send_last(struct transport_socket socket, const void *bytes, size_t len);
void transport_close(struct transport_socket socket);

#endif
