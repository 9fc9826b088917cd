/* A connection: bytes on one socket, in the clear or through TLS (transport.h). Knows nothing of
 * HTTP, WebSocket or users. A TLS handshake runs before the first on_bytes; what is queued during
 * it waits, and a handshake that fails is on_gone.
 *
 * It belongs to one conn_loop and that loop's thread. Reads go into the loop's buffer; only what
 * the owner did not take is kept. Writes are queued and go out together at the end of the turn, in
 * one system call for all that waits. An idle connection therefore has no buffer at all.
 *
 * After conn_abandon or conn_release there are no more callbacks; neither may be called twice, and
 * the memory of a conn may be freed only at the end of the turn. */
#ifndef HERALD_NET_CONN_H
#define HERALD_NET_CONN_H

#include "gateway/net/handshakes.h"
#include "gateway/net/throttle.h"
#include "gateway/net/transport.h"
#include "proto/note/payload.h"

struct conn;

struct conn_ops {
    /* Bytes arrived; `bytes` may be written to. Answers how many were taken; the rest is offered
     * again with what follows it. More than CONN_REST_MAX_BYTES of rest ends the connection
     * (on_gone). */
    size_t (*on_bytes)(struct conn *conn, uint8_t *bytes, size_t len);
    /* The end of a turn, before what is queued goes out: the last moment to queue something. */
    void (*on_flush)(struct conn *conn);
    /* Something had been queued, and all of it is written. */
    void (*on_drained)(struct conn *conn);
    /* The peer closed (is_clean) or the connection broke. */
    void (*on_gone)(struct conn *conn, bool is_clean);
    /* Whose turns it has where it must wait for some; all zero: it has no address. NULL: none has.
     */
    struct ip (*address)(const struct conn *conn);
};

enum {
    CONN_REST_MAX_BYTES = 65536,
    CONN_READ_BYTES = TRANSPORT_READ_BYTES,
    CONN_BUSY_BYTES_PER_MS = 2 * CONN_READ_BYTES, /* of all busy connections of a loop */
    CONN_WORK_US_PER_MS = 500, /* work is as much of that share as it is of this time */
};

/* What all connections of one thread share. */
struct conn_loop {
    struct reactor *reactor;
    struct list dirty; /* connections with something to flush */
    struct reactor_task flush;
    struct handshakes handshakes;
    struct throttle throttle; /* of the busy ones: who sends much at once */
    struct conn *offered;     /* its on_bytes runs */
    struct conn *in_turn;     /* goes on with work that was put off */
    struct out_queue *spare;  /* queues of the usual size, kept for the next writer */
    unsigned n_spare;
    uint8_t *read_buffer;
    uint64_t read_turn; /* the turn in which */
    size_t read_bytes;  /* so much was read */
};

MUST_CHECK enum err conn_loop_init(struct conn_loop *loop, struct reactor *reactor);
void conn_loop_fini(struct conn_loop *loop);

enum {
    CONN_BLOCKED = 1,  /* the socket takes no more at present */
    CONN_BROKEN = 2,   /* it ends at the end of the turn */
    CONN_SHAKING = 4,  /* the handshake is not complete */
    CONN_PAUSED = 8,   /* nothing more is read */
    CONN_BUSY = 16,    /* waits in the throttle for its next read */
    CONN_DEAF = 32,    /* nothing can be read before the socket takes something */
    CONN_PUT_OFF = 64, /* waits in the throttle for its turn to go on with what it has read */
};

struct conn {
    struct reactor_watch watch; /* watch.fd is the socket, -1: none any more; watch.flags: below */
    struct conn_loop *loop;
    const struct conn_ops *ops;
    struct list dirty;
    struct out_queue *out; /* NULL: nothing waits */
    union {
        struct conn_rest *rest;
        struct handshake *handshake; /* CONN_SHAKING */
    };
    struct transport *transport;
};

/* Takes over a non-blocking socket. On error the socket is still the caller's. */
MUST_CHECK enum err conn_open(struct conn *conn, struct conn_loop *loop, const struct conn_ops *ops,
                              struct transport_socket socket);
/* The same for one that has just been accepted: a handshake comes first if the transport has one.
 * `from` is the client's address, by which handshakes are limited; all zero: it has none. */
MUST_CHECK enum err conn_accept(struct conn *conn, struct conn_loop *loop,
                                const struct conn_ops *ops, struct transport_socket socket,
                                const struct ip *from);

/* Has the handshake yet to be completed? What is written waits for that. */
static inline bool conn_is_shaking(const struct conn *conn)
{
    return conn->watch.flags & CONN_SHAKING;
}

/* Offers bytes to on_bytes as if they had just arrived (left over from another reader). They are
 * written to; what is not taken is kept. */
void conn_feed(struct conn *conn, uint8_t *bytes, size_t len);

/* What was read has turned out to be so much more work than its bytes: they count as read, too. */
void conn_count_read(struct conn *conn, size_t bytes);

/* For work that few bytes ask for, like a signature to verify: before it begins. true: go on.
 * false: the share of the busy ones is used up, and on_bytes must take nothing more; when
 * the turn of this connection has come, on_bytes is called with what was not taken, which may be
 * nothing, and the first question then is answered with true. Nothing is read meanwhile. */
MUST_CHECK bool conn_take_turn(struct conn *conn);
/* So much time went into such work; it counts against that share. Of any connection of the loop. */
void conn_loop_count_work(struct conn_loop *loop, int64_t us);

/* Queue. ERR_NO_MEMORY: nothing was queued. A broken connection takes and forgets everything. */
MUST_CHECK enum err conn_write_payload(struct conn *conn,
                                       struct payload *payload); /* its frame; takes a reference */
MUST_CHECK enum err conn_write_bytes(struct conn *conn, const void *bytes, size_t len); /* copies */

/* Ends the connection at the end of this turn (on_gone), as if it had broken. */
void conn_break(struct conn *conn);

/* A flush at the end of this turn, on_flush first, even if nothing is queued yet. */
void conn_mark(struct conn *conn);

/* Reads nothing more: what comes waits in the kernel, for whoever has the socket next, or until...
 */
void conn_pause(struct conn *conn);
/* ...it is read again. First what was not taken is offered once more, in a turn as above. Does
 * nothing to one that is not paused. */
void conn_resume(struct conn *conn);

/* Has something come that nobody has read? */
bool conn_has_unread(const struct conn *conn);

/* Bytes queued and not yet taken by the kernel; what TLS adds to them is not counted. */
size_t conn_queued_bytes(const struct conn *conn);

/* When the kernel last took bytes while more were waiting; 0 while nothing waits. Monotonic ms. */
int64_t conn_moved_ms(const struct conn *conn);

/* No more will be written; says so (close_notify, FIN) once the queue is empty. Reading goes on. */
void conn_shutdown(struct conn *conn);

/* Forgets the queue, closes the socket. */
void conn_abandon(struct conn *conn);

/* What was received and not taken; valid until more comes. */
struct span conn_rest(const struct conn *conn);

/* Gives the socket and its transport away (queue must be empty, the handshake complete). What was
 * received and not taken, *ret_len bytes, goes to the caller, who frees it. */
struct transport_socket conn_release(struct conn *conn, uint8_t **ret_bytes, size_t *ret_len);

#endif
