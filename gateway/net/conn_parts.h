/* Shared by conn.c, conn_read.c and conn_held.c, and used by no other file. */
#ifndef HERALD_NET_CONN_PARTS_H
#define HERALD_NET_CONN_PARTS_H

#include "gateway/net/conn.h"

/* The bytes that were received and not taken. A connection that waits in the throttle has one even
 * without such bytes, because its entry in the throttle is here. */
struct conn_rest {
    struct throttled throttled; /* CONN_BUSY */
    struct conn *conn;
    size_t len;
    uint8_t bytes[];
};

static inline bool is_blocked(const struct conn *conn)
{
    return conn->watch.flags & CONN_BLOCKED;
}

static inline bool is_broken(const struct conn *conn)
{
    return conn->watch.flags & CONN_BROKEN;
}

static inline bool is_paused(const struct conn *conn)
{
    return conn->watch.flags & CONN_PAUSED;
}

static inline bool is_busy(const struct conn *conn)
{
    return conn->watch.flags & CONN_BUSY;
}

static inline bool is_deferred(const struct conn *conn)
{
    return conn->watch.flags & CONN_DEFERRED;
}

static inline bool is_deaf(const struct conn *conn)
{
    return conn->watch.flags & CONN_DEAF;
}

static inline bool is_unwatched(const struct conn *conn)
{
    return conn->watch.flags & CONN_UNWATCHED;
}

static inline bool is_uncounted(const struct conn *conn)
{
    return conn->watch.flags & CONN_UNCOUNTED;
}

static inline unsigned kind_of(const struct conn *conn)
{
    return conn->watch.flags / CONN_KIND_UNIT;
}

/* Opens nothing: the struct alone. `flags`: CONN_ */
void conn_init(struct conn *conn, struct conn_loop *loop, const struct conn_ops *ops,
               struct transport_socket socket, uint32_t flags);

/* The queue, which is made for the first write. NULL: out of memory. */
struct out_queue *conn_queue(struct conn *conn);

/* NULL: out of memory. */
struct conn_rest *conn_rest_new(struct conn *conn, const uint8_t *bytes, size_t len);

/* It is CONN_DEFERRED, or has used up its share: it waits for its turn. */
void conn_wait_in_throttle(struct conn *conn);

/* Updates epoll according to the flags, if it knows the socket. */
void conn_watch_again(struct conn *conn);
uint32_t conn_epoll_events(const struct conn *conn); /* according to the flags */

/* A connection of kind 0 has an event. With many of them in one turn the other kinds pass. */
void conn_count_ready(struct conn_loop *loop);
void conn_read_passing(struct reactor_watch *watch); /* the bypass's callback */

/* Reads once, unless this turn has read enough; a busy connection enters the throttle. */
void conn_read(struct conn *conn);
void conn_read_in_turn(struct throttled *throttled); /* the throttle's callback */

void conn_leave_throttle(struct conn *conn); /* does not update epoll */

#endif
