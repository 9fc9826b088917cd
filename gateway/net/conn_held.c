/* A socket that goes from one process to another. The bytes that the kernel has taken are gone, and
 * what is left goes on exactly behind them, so no frame is torn. While it is held, the age of the
 * last write stands as a negative number in moved_ms, and becomes a moment when it goes on. */
#include "gateway/net/conn_parts.h"

#include "gateway/net/out_queue.h"

#include <stdlib.h>

bool conn_may_be_left(const struct conn *conn)
{
    return conn->watch.fd >= 0 && conn->transport == &transport_plain && !is_broken(conn);
}

enum err conn_copy_unwritten(const struct conn *conn, struct buf *out)
{
    return conn->out == NULL ? ERR_OK : out_queue_copy(conn->out, out);
}

static enum err queue_unwritten(struct conn *conn, const struct conn_left *left)
{
    struct out_queue *out = conn_queue(conn);
    if (out == NULL)
        return ERR_NO_MEMORY;
    out->moved_ms = -1 - left->moved_ago_ms;
    return out_queue_bytes(out, left->unwritten.bytes, left->unwritten.len);
}

static enum err take_left(struct conn *conn, const struct conn_left *left)
{
    if (left->rest.len > 0) {
        conn->rest = conn_rest_new(conn, (const uint8_t *)left->rest.bytes, left->rest.len);
        if (conn->rest == NULL)
            return ERR_NO_MEMORY;
    }
    return left->unwritten.len == 0 ? ERR_OK : queue_unwritten(conn, left);
}

enum err conn_open_held(struct conn *conn, struct conn_loop *loop, const struct conn_ops *ops,
                        int fd, const struct conn_left *left)
{
    struct transport_socket socket = {fd, &transport_plain};
    conn_init(conn, loop, ops, socket, CONN_HELD | CONN_UNWATCHED);
    enum err error = take_left(conn, left);
    if (error == ERR_OK)
        return ERR_OK;
    uint8_t *rest;
    size_t n_rest;
    conn_release(conn, &rest, &n_rest);
    free(rest);
    return error;
}

void conn_go(struct conn *conn)
{
    struct reactor *reactor = conn->loop->reactor;
    conn->watch.flags &= (uint16_t)~CONN_HELD;
    if (reactor_watch_add(reactor, &conn->watch, conn_epoll_events(conn)) != ERR_OK) {
        conn_break(conn);
        return;
    }
    conn->watch.flags &= (uint16_t)~CONN_UNWATCHED;
    if (conn->out != NULL) {
        if (conn->out->moved_ms < 0)
            conn->out->moved_ms += 1 + reactor_now_ms(reactor);
        conn_mark(conn);
    }
    if (is_deferred(conn))
        conn_wait_in_throttle(conn);
}
