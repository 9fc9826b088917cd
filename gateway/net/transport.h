/* What stands between a connection and its socket: nothing (TCP, unix) or TLS. For conn.c and its
 * parts; one thread at a time. The socket is non-blocking and belongs to the caller. */
#ifndef HERALD_NET_TRANSPORT_H
#define HERALD_NET_TRANSPORT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct transport {
    const struct transport_ops *ops;
};

enum transport_state {
    TRANSPORT_MOVED,       /* done; there may be more */
    TRANSPORT_WANTS_READ,  /* go on when the socket is readable */
    TRANSPORT_WANTS_WRITE, /* go on when the socket is writable */
    TRANSPORT_CLOSED,      /* reading: the peer has ended it properly */
    TRANSPORT_BROKEN,
};

/* One read takes so much at most (the largest TLS record). Small records share a read, in the room
 * behind it. */
enum { TRANSPORT_READ_BYTES = 16384, TRANSPORT_SMALL_BYTES = TRANSPORT_READ_BYTES / 4 };
enum { TRANSPORT_ROOM_BYTES = TRANSPORT_READ_BYTES + TRANSPORT_SMALL_BYTES };

struct transport_read {
    size_t len;
    size_t cost_bytes; /* it took as much work as so many bytes more */
};

struct transport_ops {
    /* One step of the handshake, a bounded one. MOVED: it is complete. NULL: there is none. */
    enum transport_state (*shake)(struct transport *transport, int fd);
    /* TRANSPORT_ROOM_BYTES of room. MOVED: ret_read->len bytes. What is left for the next call, the
     * end included, is in the socket, so that its readiness tells of it; nothing waits unseen in
     * the transport. A WANTS of either kind: no bytes at present. WANTS_WRITE: nor will there be
     * any, however many arrive, before the peer has read some of what it was sent: whoever looks at
     * readable sockets must look away from this one. *ret_read is set in each case. */
    enum transport_state (*read)(struct transport *transport, int fd, uint8_t *bytes,
                                 struct transport_read *ret_read);
    /* MOVED, WANTS_WRITE, BROKEN. MOVED, WANTS_WRITE: the kernel has taken *ret_len bytes. After
     * WANTS_WRITE the next call must begin with the bytes that were not taken, and have at least as
     * many. */
    enum transport_state (*write)(struct transport *transport, int fd, const struct iovec *iovecs,
                                  size_t n, size_t *ret_len);
    /* Tells the peer that no more is written, as far as the kernel takes it. */
    void (*finish)(struct transport *transport, int fd);
    void (*free)(struct transport *transport);
};

/* The plain one, shared by all. */
extern struct transport transport_plain;

/* A socket and what stands before it, on their way between two owners. */
struct transport_socket {
    int fd;
    struct transport *transport;
};

/* For the owner of a socket that is no connection at present: writes what the kernel takes at once;
 * closes both. */
void transport_say(struct transport_socket socket, const void *bytes, size_t len);
void transport_close(struct transport_socket socket);

#endif
