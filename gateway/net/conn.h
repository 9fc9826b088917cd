/* A connection: bytes on one socket, in plain text or through TLS (transport.h). It does not know
 * HTTP, WebSocket or users. A TLS handshake runs before the first on_bytes; writes are queued until
 * it is complete, and a handshake that fails is reported by on_gone.
 *
 * It belongs to one conn_loop and whoever holds its reactor's turn. Reads go into the loop's
 * buffer; only bytes that the owner did not take are kept. Writes are queued and go out together at
 * the end of the turn, in one system call. An idle connection therefore has no buffer at all.
 *
 * After conn_abandon or conn_release there are no more callbacks; neither may be called twice, and
 * the memory of a conn may be freed only at the end of the turn. */
#ifndef HERALD_NET_CONN_H
#define HERALD_NET_CONN_H

#include "gateway/net/bypass.h"
#include "gateway/net/handshakes.h"
#include "gateway/net/throttle.h"
#include "gateway/net/transport.h"
#include "proto/bytes/buf.h"
#include "proto/note/payload.h"

struct conn;

struct conn_ops {
    /* Bytes arrived; they may be modified. Returns how many were taken; the rest is passed again
     * together with the bytes that follow. A rest of more than CONN_REST_MAX_BYTES ends the
     * connection (on_gone). */
    size_t (*on_bytes)(struct conn *conn, uint8_t *bytes, size_t len);
    /* The end of a turn, before the queue is written: the last moment to queue something. */
    void (*on_flush)(struct conn *conn);
    /* The queue was not empty, and all of it has been written. */
    void (*on_drained)(struct conn *conn);
    /* The peer closed (is_clean) or the connection broke. */
    void (*on_gone)(struct conn *conn, bool is_clean);
    /* The address that its turns in the throttle count for; all zero: it has no address. NULL: no
     * connection has one. */
    struct ip (*address)(const struct conn *conn);
};

enum {
    CONN_REST_MAX_BYTES = 65536,
    CONN_READ_BYTES = TRANSPORT_READ_BYTES,
    CONN_BUSY_BYTES_PER_MS = 2 * CONN_READ_BYTES, /* of all busy connections of a loop */
    CONN_WORK_US_PER_MS = 500, /* work uses the share in proportion to its time */
};

/* Connections are of kinds, whose meaning is their owners'. Each kind has a budget of its own in a
 * turn, so that a flood of one leaves every turn to the others. Kind 0, which a connection has at
 * first, is flushed first. The other kinds pass it where many of kind 0 are ready (bypass.h). */
enum { CONN_KINDS = 3 };

/* How many different conn_ops the connections of a loop have. */
enum { CONN_OPS_MAX = 4 };

/* The state that all connections of one thread share. */
struct conn_loop {
    struct reactor *reactor;
    struct list dirty; /* connections with something to flush */
    struct list late;  /* the same of other kinds than 0, flushed after these */
    struct reactor_task flush;
    struct handshakes handshakes;
    struct throttle throttle; /* for busy connections, which receive much at once */
    struct bypass bypass;     /* connections of other kinds than 0 */
    /* Those of its connections, of which each knows a number; NULL: none yet. */
    const struct conn_ops *ops[CONN_OPS_MAX];
    struct conn *offered;    /* the connection whose on_bytes runs */
    struct conn *in_turn;    /* the connection that continues deferred work */
    struct out_queue *spare; /* queues of the usual size, kept for the next writer */
    unsigned n_spare;
    uint8_t *read_buffer;
    uint64_t read_turn;             /* the turn that the next three belong to */
    unsigned n_ready;               /* events of connections of kind 0 */
    size_t read_bytes[CONN_KINDS];  /* read in that turn, by the connection's kind */
    size_t spent_bytes[CONN_KINDS]; /* used of its budget besides (conn_spend_turn) */
};

MUST_CHECK enum err conn_loop_init(struct conn_loop *loop, struct reactor *reactor);
void conn_loop_fini(struct conn_loop *loop);

enum {
    CONN_BLOCKED = 1,     /* the socket accepts no more at the moment */
    CONN_BROKEN = 2,      /* it ends at the end of the turn */
    CONN_SHAKING = 4,     /* the handshake is not complete */
    CONN_PAUSED = 8,      /* nothing more is read */
    CONN_BUSY = 16,       /* waits in the throttle for its next read */
    CONN_DEAF = 32,       /* nothing can be read before the socket accepts a write */
    CONN_DEFERRED = 64,   /* waits in the throttle to continue with the bytes that it has read */
    CONN_BULK = 128,      /* its reads are not throttled */
    CONN_UNWATCHED = 256, /* epoll does not know the socket (conn_begin) */
    CONN_UNCOUNTED = 512, /* its bytes are no subscriber's */
    CONN_HELD = 1024,     /* the socket is another's until conn_go */
    CONN_OPS_UNIT = 2048, /* two bits for the number of its ops in the loop */
    CONN_KIND_UNIT = CONN_OPS_UNIT * CONN_OPS_MAX, /* the bits above are its kind */
};

struct conn {
    struct reactor_watch watch; /* watch.fd: the socket, -1 after its end; flags: CONN_ */
    struct conn_loop *loop;
    struct list dirty;
    struct out_queue *out; /* NULL: nothing is queued */
    union {
        struct conn_rest *rest;
        struct handshake *handshake; /* CONN_SHAKING */
    };
    struct transport *transport;
};

/* Takes over a non-blocking socket. On an error the caller keeps it. */
MUST_CHECK enum err conn_open(struct conn *conn, struct conn_loop *loop, const struct conn_ops *ops,
                              struct transport_socket socket);
/* The same for a socket that has just been accepted; nothing is read before conn_begin. If the
 * transport has a handshake, it comes first. `from` is the client's address, by which handshakes
 * are limited; all zero: it has none. */
MUST_CHECK enum err conn_accept(struct conn *conn, struct conn_loop *loop,
                                const struct conn_ops *ops, struct transport_socket socket,
                                const struct ip *from);

/* The owner calls it once after conn_accept, when it is ready for on_bytes, and touches the
 * connection no more in that call: a client has often sent its request by then, which is read here,
 * and the socket may be released or abandoned before epoll has come to know it. */
void conn_begin(struct conn *conn);

/* What the last owner of a socket, in another process, has left. */
struct conn_left {
    struct span rest;      /* received and not taken, at most CONN_REST_MAX_BYTES */
    struct span unwritten; /* queued, and not taken by the kernel */
    int64_t moved_ago_ms;  /* unwritten is not empty: as conn_moved_ms, but how long ago, when it
                            * goes on */
};

/* Takes over a plain non-blocking socket that another process still uses, held: nothing is read or
 * written, epoll does not know it, and on_flush and on_drained are not called. What is queued goes
 * behind what was left unwritten. conn_break and conn_abandon close the descriptor, which the peer
 * does not notice while the other process has it. On an error the caller keeps it. */
MUST_CHECK enum err conn_open_held(struct conn *conn, struct conn_loop *loop,
                                   const struct conn_ops *ops, int fd,
                                   const struct conn_left *left);

/* It is held no longer: it reads, and what is queued goes out at the end of the turn. Where epoll
 * does not take it, it breaks. */
void conn_go(struct conn *conn);

static inline bool conn_is_held(const struct conn *conn)
{
    return conn->watch.flags & CONN_HELD;
}

/* Could conn_open_held go on with its socket? Not with TLS, nor if it broke. */
bool conn_may_be_left(const struct conn *conn);

/* For that: appends what is queued and not taken by the kernel. Changes nothing in the connection.
 * ERR_NO_MEMORY; ERR_FULL: `out` has no room for it. */
MUST_CHECK enum err conn_copy_unwritten(const struct conn *conn, struct buf *out);

static inline const struct conn_ops *conn_ops_of(const struct conn *conn)
{
    return conn->loop->ops[conn->watch.flags / CONN_OPS_UNIT % CONN_OPS_MAX];
}

/* Is the handshake not complete yet? Writes are queued until then. */
static inline bool conn_is_shaking(const struct conn *conn)
{
    return conn->watch.flags & CONN_SHAKING;
}

void conn_set_kind(struct conn *conn, unsigned kind);

/* Its bytes are not counted by the metrics that count those of subscribers. */
void conn_set_uncounted(struct conn *conn);

/* From now on its reads are not throttled: only the turn's budget of its kind bounds them. For what
 * somebody trusted sends. */
void conn_set_bulk(struct conn *conn, bool is_bulk);

/* Passes bytes to on_bytes as if they had just arrived; the socket's previous owner had read them.
 * They may be modified; what is not taken is kept. */
void conn_feed(struct conn *conn, uint8_t *bytes, size_t len);

/* The bytes that were read have caused more work than their number suggests; counts `bytes` more as
 * read in this turn. */
void conn_count_read(struct conn *conn, size_t bytes);

/* The same without counting them as read: work that is done now counts for the turn's budget of its
 * kind like so many bytes. Ask conn_has_turn first where nothing was read for it. */
void conn_spend_turn(struct conn *conn, size_t bytes);
MUST_CHECK bool conn_has_turn(const struct conn *conn);

/* Ask before work that few bytes cause, like verifying a signature. true: do it now. false: the
 * share of the busy connections is used up, and on_bytes must take nothing more. When the turn of
 * this connection comes, on_bytes is called with the bytes that were not taken (maybe none), and
 * the first conn_take_turn in it returns true. Nothing is read meanwhile. */
MUST_CHECK bool conn_take_turn(struct conn *conn);
/* Counts the time of such work, of any connection of the loop, against the share. */
void conn_loop_count_work(struct conn_loop *loop, int64_t us);

/* These queue. ERR_NO_MEMORY: nothing was queued. On a broken connection they succeed and drop the
 * bytes. */
MUST_CHECK enum err conn_write_payload(struct conn *conn,
                                       struct payload *payload); /* its frame; takes a reference */
MUST_CHECK enum err conn_write_bytes(struct conn *conn, const void *bytes, size_t len); /* copies */

/* Takes over bytes from malloc, `len` of them and not 0; on an error they are the caller's. */
MUST_CHECK enum err conn_write_heap(struct conn *conn, void *bytes, size_t len);

/* Ends the connection at the end of this turn (on_gone), as if it had broken. */
void conn_break(struct conn *conn);

/* Requests a flush at the end of this turn, with on_flush first, even if nothing is queued yet. */
void conn_mark(struct conn *conn);

/* Stops reading. What arrives waits in the kernel for conn_resume or for the socket's next
 * owner. */
void conn_pause(struct conn *conn);
/* Reads again. First the bytes that were not taken are passed to on_bytes again, in a later turn.
 * Does nothing if the connection is not paused. */
void conn_resume(struct conn *conn);

/* Are there received bytes that nobody has read? */
bool conn_has_unread(const struct conn *conn);

/* Bytes queued and not yet taken by the kernel; what TLS adds to them is not counted. */
size_t conn_queued_bytes(const struct conn *conn);

/* When the kernel last accepted bytes while more were queued, in monotonic ms; 0: none are
 * queued. */
int64_t conn_moved_ms(const struct conn *conn);

/* Nothing more will be written: sends close_notify or FIN when the queue is empty. Reading
 * continues. */
void conn_shutdown(struct conn *conn);

/* Drops the queue and closes the socket. */
void conn_abandon(struct conn *conn);

/* The bytes that were received and not taken; valid until more arrive. */
struct span conn_rest(const struct conn *conn);

/* Gives the socket and its transport to the caller (the queue must be empty, the handshake
 * complete). *ret_bytes, *ret_len bytes long, has what was received and not taken; the caller frees
 * it. */
struct transport_socket conn_release(struct conn *conn, uint8_t **ret_bytes, size_t *ret_len);

#endif
