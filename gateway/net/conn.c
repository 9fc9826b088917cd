/* Writing, and the life of a connection. A write joins the queue of the connection and marks it; at
 * the end of the turn flush_all lets the owner of each marked connection add more (on_flush) and
 * writes the queue with one call. An empty queue goes back to the loop's spares and the owner is
 * notified (on_drained). What the kernel does not accept waits for EPOLLOUT. A broken connection is
 * reported at the end of the turn and never from within a write. While a TLS handshake runs, the
 * queue waits and readiness belongs to handshakes.c. conn_read.c reads; conn_held.c has what goes
 * from one process to another. */
#include "gateway/net/conn_parts.h"

#include "gateway/base/metrics.h"
#include "gateway/net/out_queue.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum { SPARE_QUEUES = 128 }; /* what a slice of a push to many takes in a turn */

static void flush_all(struct reactor_task *task);
static void on_shaken(struct reactor_watch *watch);
static void on_shake_failed(struct reactor_watch *watch);

static const struct handshake_ops handshake_ops = {on_shaken, on_shake_failed};

enum err conn_loop_init(struct conn_loop *loop, struct reactor *reactor)
{
    *loop = (struct conn_loop){.reactor = reactor};
    list_init(&loop->dirty);
    list_init(&loop->late);
    list_init(&loop->flush.link);
    loop->flush.run = flush_all;
    loop->read_buffer = malloc(TRANSPORT_ROOM_BYTES + CONN_REST_MAX_BYTES);
    if (loop->read_buffer == NULL)
        return ERR_NO_MEMORY;
    enum err error =
        throttle_init(&loop->throttle, reactor, CONN_BUSY_BYTES_PER_MS, conn_read_in_turn);
    if (error != ERR_OK)
        goto undo_buffer;
    error = bypass_init(&loop->bypass, reactor, conn_read_passing);
    if (error != ERR_OK)
        goto undo_throttle;
    error = handshakes_init(&loop->handshakes, reactor, &handshake_ops);
    if (error != ERR_OK)
        goto undo_bypass;
    return ERR_OK;

undo_bypass:
    bypass_fini(&loop->bypass);
undo_throttle:
    throttle_fini(&loop->throttle);
undo_buffer:
    free(loop->read_buffer);
    return error;
}

void conn_loop_fini(struct conn_loop *loop)
{
    reactor_task_cancel(&loop->flush);
    handshakes_fini(&loop->handshakes);
    bypass_fini(&loop->bypass);
    throttle_fini(&loop->throttle);
    while (loop->spare != NULL) {
        struct out_queue *queue = loop->spare;
        loop->spare = queue->next_spare;
        out_queue_free(queue);
    }
    free(loop->read_buffer);
}

static struct out_queue *take_queue(struct conn_loop *loop)
{
    struct out_queue *queue = loop->spare;
    if (queue != NULL) {
        loop->spare = queue->next_spare;
        loop->n_spare--;
        return queue;
    }
    return out_queue_new(&queue) == ERR_OK ? queue : NULL;
}

static void give_queue_back(struct conn_loop *loop, struct out_queue *queue)
{
    if (loop->n_spare >= SPARE_QUEUES) {
        out_queue_free(queue);
        return;
    }
    out_queue_clear(queue);
    queue->next_spare = loop->spare;
    loop->spare = queue;
    loop->n_spare++;
}

static void set_blocked(struct conn *conn, bool blocked)
{
    if (blocked == is_blocked(conn))
        return;
    conn->watch.flags ^= CONN_BLOCKED;
    conn_watch_again(conn);
}

/* Writes what the kernel accepts. false: the connection broke. */
static bool write_some(struct conn *conn)
{
    struct iovec iovecs[OUT_IOVECS];
    struct out_queue *out = conn->out;
    size_t n = (size_t)out_queue_iovecs(out, iovecs);
    size_t sent = 0;
    enum transport_state state =
        conn->transport->ops->write(conn->transport, conn->watch.fd, iovecs, n, &sent);
    if (state != TRANSPORT_MOVED && state != TRANSPORT_WANTS_WRITE)
        return false;
    if (sent > 0) {
        metrics_add(METRIC_BYTES_OUT, is_uncounted(conn) ? 0 : sent);
        out_queue_written(out, sent);
        out->moved_ms = reactor_now_ms(conn->loop->reactor);
    } else if (out->moved_ms == 0) {
        out->moved_ms = reactor_now_ms(conn->loop->reactor); /* it begins to wait now */
    }
    set_blocked(conn, state == TRANSPORT_WANTS_WRITE);
    return true;
}

static void finish_writing(struct conn *conn)
{
    conn->transport->ops->finish(conn->transport, conn->watch.fd);
    shutdown(conn->watch.fd, SHUT_WR);
}

static bool must_wait_to_write(const struct conn *conn)
{
    return conn_is_shaking(conn) || conn_is_held(conn);
}

static void flush_one(struct conn *conn)
{
    if (conn->watch.fd < 0 || (must_wait_to_write(conn) && !is_broken(conn)))
        return;
    const struct conn_ops *ops = conn_ops_of(conn);
    if (!is_broken(conn) && ops->on_flush != NULL)
        ops->on_flush(conn);
    if (conn->watch.fd < 0 || (conn->out == NULL && !is_broken(conn)))
        return;
    if (is_broken(conn) || (conn->out->n > 0 && !write_some(conn))) {
        ops->on_gone(conn, false);
        return;
    }
    if (conn->out->n > 0) {
        if (!is_blocked(conn))
            conn_mark(
                conn); /* more than one call writes: continue in this turn, after the others */
        return;
    }
    bool wants_shutdown = conn->out->wants_shutdown;
    give_queue_back(conn->loop, conn->out);
    conn->out = NULL;
    if (wants_shutdown)
        finish_writing(conn);
    if (ops->on_drained != NULL)
        ops->on_drained(conn);
}

static void flush_all(struct reactor_task *task)
{
    struct conn_loop *loop = CONTAINER_OF(task, struct conn_loop, flush);
    while (!list_is_empty(&loop->dirty) || !list_is_empty(&loop->late)) {
        struct list *next = list_is_empty(&loop->dirty) ? loop->late.next : loop->dirty.next;
        struct conn *conn = CONTAINER_OF(next, struct conn, dirty);
        list_remove(&conn->dirty);
        flush_one(conn);
    }
}

static void on_ready_to_shake(struct conn *conn, uint32_t events)
{
    if (!handshake_is_waiting(conn->handshake))
        handshake_ready(&conn->loop->handshakes, conn->handshake);
    else if (events & (EPOLLHUP | EPOLLERR)) /* the peer closed it before its turn came */
        conn_ops_of(conn)->on_gone(conn, false);
}

/* The socket is writable: was a read waiting for that? If only the queue was waiting, the
 * connection is read in its turn or when it is resumed. */
static bool waits_to_read(const struct conn *conn)
{
    return is_deaf(conn) && !is_paused(conn) && !is_busy(conn);
}

static void on_ready(struct reactor_watch *watch, uint32_t events)
{
    struct conn *conn = CONTAINER_OF(watch, struct conn, watch);
    if (kind_of(conn) == 0)
        conn_count_ready(conn->loop);
    if (conn_is_shaking(conn)) {
        on_ready_to_shake(conn, events);
        return;
    }
    if (events & EPOLLOUT)
        conn_mark(conn);
    if ((is_paused(conn) || is_deferred(conn)) && (events & (EPOLLHUP | EPOLLERR)))
        conn_ops_of(conn)->on_gone(conn, false);
    else if (events & (EPOLLIN | EPOLLHUP | EPOLLERR) || (events & EPOLLOUT && waits_to_read(conn)))
        conn_read(conn); /* epoll reports a closed peer in each turn, even if the connection waits
                            in the throttle */
}

/* A connection remembers a number of two bits instead of a pointer. */
static uint32_t number_of_ops(struct conn_loop *loop, const struct conn_ops *ops)
{
    uint32_t number = 0;
    while (loop->ops[number] != ops && loop->ops[number] != NULL) {
        number++;
        assert(number < CONN_OPS_MAX);
    }
    loop->ops[number] = ops;
    return number;
}

void conn_init(struct conn *conn, struct conn_loop *loop, const struct conn_ops *ops,
               struct transport_socket socket, uint32_t flags)
{
    *conn = (struct conn){.loop = loop, .transport = socket.transport};
    flags |= number_of_ops(loop, ops) * CONN_OPS_UNIT;
    conn->watch =
        (struct reactor_watch){.on_ready = on_ready, .fd = socket.fd, .flags = (uint16_t)flags};
    list_init(&conn->dirty);
}

enum err conn_open(struct conn *conn, struct conn_loop *loop, const struct conn_ops *ops,
                   struct transport_socket socket)
{
    /* What the last owner's transport has kept is read as soon as the socket is writable. */
    bool has_unread = transport_has_unread(socket.transport);
    conn_init(conn, loop, ops, socket, has_unread ? CONN_DEAF : 0);
    return reactor_watch_add(loop->reactor, &conn->watch, has_unread ? EPOLLOUT : EPOLLIN);
}

enum err conn_accept(struct conn *conn, struct conn_loop *loop, const struct conn_ops *ops,
                     struct transport_socket socket, const struct ip *from)
{
    if (socket.transport->ops->shake == NULL) {
        conn_init(conn, loop, ops, socket, CONN_UNWATCHED);
        return ERR_OK;
    }
    enum err error = conn_open(conn, loop, ops, socket);
    if (error != ERR_OK)
        return error;
    error = handshake_new(&loop->handshakes, &conn->watch, conn->transport, from, &conn->handshake);
    if (error != ERR_OK)
        reactor_watch_remove(loop->reactor, &conn->watch);
    else
        conn->watch.flags |= CONN_SHAKING;
    return error;
}

static void let_pass(struct conn *conn)
{
    if (kind_of(conn) != 0)
        bypass_add(&conn->loop->bypass, &conn->watch);
}

void conn_begin(struct conn *conn)
{
    if (!is_unwatched(conn))
        return;                             /* its handshake comes first */
    if (!is_paused(conn) && !is_busy(conn)) /* by what it was fed */
        conn_read(conn);
    if (conn->watch.fd < 0)
        return;
    if (reactor_watch_add(conn->loop->reactor, &conn->watch, conn_epoll_events(conn)) != ERR_OK) {
        conn_break(conn);
        return;
    }
    conn->watch.flags &= (uint16_t)~CONN_UNWATCHED;
    let_pass(conn);
}

static void end_handshake(struct conn *conn)
{
    conn->watch.flags &= (uint16_t)~CONN_SHAKING;
    handshake_free(&conn->loop->handshakes, conn->handshake);
    conn->handshake = NULL;
}

static void on_shake_failed(struct reactor_watch *watch)
{
    struct conn *conn = CONTAINER_OF(watch, struct conn, watch);
    conn_ops_of(conn)->on_gone(conn, false);
}

static void on_shaken(struct reactor_watch *watch)
{
    struct conn *conn = CONTAINER_OF(watch, struct conn, watch);
    end_handshake(conn);
    let_pass(conn);
    if (conn->out != NULL)
        conn_mark(conn);
}

struct out_queue *conn_queue(struct conn *conn)
{
    if (conn->out == NULL)
        conn->out = take_queue(conn->loop);
    return conn->out;
}

enum err conn_write_payload(struct conn *conn, struct payload *payload)
{
    struct out_queue *out = conn_queue(conn);
    if (out == NULL)
        return ERR_NO_MEMORY;
    if (!is_blocked(conn))
        conn_mark(conn);
    return out_queue_payload(out, payload);
}

enum err conn_write_bytes(struct conn *conn, const void *bytes, size_t len)
{
    struct out_queue *out = conn_queue(conn);
    if (out == NULL)
        return ERR_NO_MEMORY;
    if (!is_blocked(conn))
        conn_mark(conn);
    return out_queue_bytes(out, bytes, len);
}

enum err conn_write_heap(struct conn *conn, void *bytes, size_t len)
{
    struct out_queue *out = conn_queue(conn);
    if (out == NULL)
        return ERR_NO_MEMORY;
    if (!is_blocked(conn))
        conn_mark(conn);
    return out_queue_heap(out, bytes, len);
}

void conn_set_kind(struct conn *conn, unsigned kind)
{
    conn->watch.flags = (uint16_t)(conn->watch.flags % CONN_KIND_UNIT + kind * CONN_KIND_UNIT);
}

void conn_set_uncounted(struct conn *conn)
{
    conn->watch.flags |= CONN_UNCOUNTED;
}

void conn_break(struct conn *conn)
{
    conn->watch.flags |= CONN_BROKEN;
    conn_mark(conn);
}

void conn_mark(struct conn *conn)
{
    if (!list_is_empty(&conn->dirty))
        return;
    struct conn_loop *loop = conn->loop;
    list_append(kind_of(conn) == 0 ? &loop->dirty : &loop->late, &conn->dirty);
    reactor_at_turn_end(conn->loop->reactor, &conn->loop->flush);
}

size_t conn_queued_bytes(const struct conn *conn)
{
    return conn->out != NULL ? conn->out->bytes : 0;
}

int64_t conn_moved_ms(const struct conn *conn)
{
    return conn->out != NULL ? conn->out->moved_ms : 0;
}

void conn_shutdown(struct conn *conn)
{
    if (conn_is_held(conn) && conn_queue(conn) == NULL)
        conn_break(conn);
    else if (conn_is_held(conn) || (conn->out != NULL && conn->out->n > 0))
        conn->out->wants_shutdown = true;
    else
        finish_writing(conn);
}

static void detach_socket(struct conn *conn)
{
    if (!is_unwatched(conn))
        reactor_watch_remove(conn->loop->reactor, &conn->watch);
    if (kind_of(conn) != 0 && !is_unwatched(conn) && !conn_is_shaking(conn))
        bypass_remove(&conn->loop->bypass, &conn->watch);
    list_remove(&conn->dirty);
    conn_leave_throttle(conn);
    if (conn_is_shaking(conn)) {
        if (handshake_has_spoken(conn->handshake))
            metrics_count(METRIC_TLS_FAILED);
        end_handshake(conn);
    }
    if (conn->out != NULL)
        give_queue_back(conn->loop, conn->out);
    conn->out = NULL;
}

void conn_abandon(struct conn *conn)
{
    detach_socket(conn);
    free(conn->rest);
    conn->rest = NULL;
    transport_close((struct transport_socket){conn->watch.fd, conn->transport});
    conn->transport = NULL;
    conn->watch.fd = -1;
}

struct transport_socket conn_release(struct conn *conn, uint8_t **ret_bytes, size_t *ret_len)
{
    detach_socket(conn);
    struct transport_socket socket = {conn->watch.fd, conn->transport};
    conn->transport = NULL;
    conn->watch.fd = -1;
    *ret_bytes = NULL;
    *ret_len = 0;
    if (conn->rest != NULL) {
        *ret_len = conn->rest->len;
        memmove(conn->rest, conn->rest->bytes,
                conn->rest->len); /* so that the caller can free it as plain bytes */
        *ret_bytes = (uint8_t *)conn->rest;
        conn->rest = NULL;
    }
    return socket;
}
