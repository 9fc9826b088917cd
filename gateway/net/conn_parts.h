/* What conn.c and conn_read.c share; for them alone. */
#ifndef HERALD_NET_CONN_PARTS_H
#define HERALD_NET_CONN_PARTS_H

#include "gateway/net/conn.h"

/* What was received and not taken. Empty, but there: a place for one that waits in the throttle. */
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

static inline bool is_put_off(const struct conn *conn)
{
    return conn->watch.flags & CONN_PUT_OFF;
}

static inline bool is_deaf(const struct conn *conn)
{
    return conn->watch.flags & CONN_DEAF;
}

/* Tells epoll what the flags say now. */
void conn_watch_again(struct conn *conn);

/* Reads once, unless this turn has read enough; puts a busy one into the throttle. */
void conn_read(struct conn *conn);
void conn_read_in_turn(struct throttled *throttled); /* the throttle's callback */

void conn_leave_throttle(struct conn *conn); /* epoll is not told */

#endif
