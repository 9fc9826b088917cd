/* Reading in fair shares: one read of 16 KiB (TLS: one record, or a few small ones) and one write
 * of 128 pieces per connection and turn, so that a busy one cannot delay the others; the rest comes
 * in the next turn.
 *
 * Busy connections, whose reads return BUSY_BYTES or more, share CONN_BUSY_BYTES_PER_MS. When that
 * is used up they wait in the throttle, and epoll does not watch them. Subscribers send little;
 * without this limit a flood would use whole cores, including the kernel's receive path, and delay
 * the pushes to others. Connections that receive less at once are not throttled. However many they
 * are, a turn reads at most READS_BYTES of each kind and one read more; the others stay ready for
 * the next turn.
 *
 * Work that few bytes cause uses the same share, by its time. When that is used up, the connection
 * is deferred: it waits in the throttle, is not read, and then continues with the bytes that it
 * has.
 *
 * In the throttle, a connection shares the turns of its address with all others of that address. */
#include "gateway/net/conn_parts.h"

#include "gateway/base/metrics.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

enum {
    READS_BYTES = 2 * CONN_READ_BYTES,
    BUSY_BYTES = CONN_READ_BYTES / 4,
    CROWD_EVENTS = 48,     /* of kind 0 in a turn, most of those that it serves (reactor.c) */
    READ_COST_BYTES = 512, /* a read counts as this many bytes in addition to its own */
};

static void drop_empty_rest(struct conn *conn)
{
    if (conn->rest == NULL || conn->rest->len > 0)
        return;
    free(conn->rest);
    conn->rest = NULL;
}

void conn_leave_throttle(struct conn *conn)
{
    if (!is_busy(conn))
        return;
    conn->watch.flags &= (uint16_t) ~(CONN_BUSY | CONN_DEFERRED);
    if (conn->rest != NULL)
        throttle_leave(&conn->loop->throttle, &conn->rest->throttled);
    drop_empty_rest(conn);
}

uint32_t conn_epoll_events(const struct conn *conn)
{
    uint32_t reading = is_deaf(conn) ? EPOLLOUT : EPOLLIN;
    return (is_paused(conn) || is_busy(conn) ? 0 : reading) |
           (is_blocked(conn) ? (uint32_t)EPOLLOUT : 0);
}

void conn_watch_again(struct conn *conn)
{
    if (!is_unwatched(conn) &&
        reactor_watch_change(conn->loop->reactor, &conn->watch, conn_epoll_events(conn)) != ERR_OK)
        conn->watch.flags |= CONN_BROKEN;
}

void conn_pause(struct conn *conn)
{
    conn_leave_throttle(conn);
    conn->watch.flags &= (uint16_t)~CONN_DEFERRED;
    conn->watch.flags |= CONN_PAUSED;
    conn_watch_again(conn);
}

struct conn_rest *conn_rest_new(struct conn *conn, const uint8_t *bytes, size_t len)
{
    struct conn_rest *rest = malloc(sizeof *rest + len);
    if (rest == NULL)
        return NULL;
    *rest = (struct conn_rest){.conn = conn, .len = len};
    if (len > 0)
        memcpy(rest->bytes, bytes, len);
    return rest;
}

static void keep_unread_bytes(struct conn *conn, const uint8_t *bytes, size_t len)
{
    struct conn_rest *rest = NULL;
    if (len > 0) {
        rest = conn_rest_new(conn, bytes, len);
        if (rest == NULL)
            conn_break(conn);
    }
    free(conn->rest);
    conn->rest = rest;
}

static size_t offer_bytes(struct conn *conn, uint8_t *bytes, size_t len)
{
    struct conn *before = conn->loop->offered;
    conn->loop->offered = conn;
    size_t taken = conn_ops_of(conn)->on_bytes(conn, bytes, len);
    conn->loop->offered = before;
    return taken;
}

static void take_bytes(struct conn *conn, uint8_t *buffer, size_t kept, size_t got)
{
    metrics_add(METRIC_BYTES_IN, is_uncounted(conn) ? 0 : got);
    if (kept > 0)
        memcpy(buffer, conn->rest->bytes, kept);
    size_t len = kept + got;
    size_t taken = offer_bytes(conn, buffer, len);
    if (conn->watch.fd < 0)
        return;
    if (len - taken > CONN_REST_MAX_BYTES)
        conn_ops_of(conn)->on_gone(conn, false);
    else if (kept > 0 || taken < len)
        keep_unread_bytes(conn, buffer + taken, len - taken);
}

struct span conn_rest(const struct conn *conn)
{
    if (conn->rest == NULL)
        return (struct span){0};
    return (struct span){(const char *)conn->rest->bytes, conn->rest->len};
}

static void count_turn(struct conn_loop *loop)
{
    uint64_t turn = reactor_turns(loop->reactor);
    if (turn == loop->read_turn)
        return;
    loop->read_turn = turn;
    loop->n_ready = 0;
    memset(loop->read_bytes, 0, sizeof loop->read_bytes);
    memset(loop->spent_bytes, 0, sizeof loop->spent_bytes);
}

void conn_count_ready(struct conn_loop *loop)
{
    count_turn(loop);
    if (++loop->n_ready == CROWD_EVENTS)
        bypass_look(&loop->bypass);
}

/* Read in this turn by connections of its kind. */
static size_t *read_bytes_of(const struct conn *conn)
{
    count_turn(conn->loop);
    return &conn->loop->read_bytes[kind_of(conn)];
}

bool conn_has_turn(const struct conn *conn)
{
    return *read_bytes_of(conn) + conn->loop->spent_bytes[kind_of(conn)] < READS_BYTES;
}

void conn_spend_turn(struct conn *conn, size_t bytes)
{
    count_turn(conn->loop);
    conn->loop->spent_bytes[kind_of(conn)] += bytes;
}

void conn_count_read(struct conn *conn, size_t bytes)
{
    *read_bytes_of(conn) += bytes;
}

void conn_set_bulk(struct conn *conn, bool is_bulk)
{
    conn->watch.flags &= (uint16_t)~CONN_BULK;
    conn->watch.flags |= is_bulk ? CONN_BULK : 0;
}

static void stop_waiting(struct conn *conn)
{
    if (!is_busy(conn))
        return;
    conn_leave_throttle(conn);
    conn_watch_again(conn);
}

static enum err enter_throttle(struct conn *conn)
{
    if (conn->rest == NULL)
        conn->rest = conn_rest_new(conn, NULL, 0);
    if (conn->rest == NULL)
        return ERR_NO_MEMORY;
    struct throttle *throttle = &conn->loop->throttle;
    const struct conn_ops *ops = conn_ops_of(conn);
    struct ip ip = ops->address != NULL ? ops->address(conn) : (struct ip){0};
    throttle_leave(throttle, &conn->rest->throttled);
    return throttle_wait(throttle, &conn->rest->throttled,
                         is_deferred(conn) ? THROTTLE_WORK : THROTTLE_READ, &ip);
}

/* Out of memory: the connection cannot wait in the throttle. Deferred work would never continue,
 * and what the transport holds would never be read, so such a connection ends; a busy one is read
 * like the others. */
static void do_without_throttle(struct conn *conn)
{
    if (is_deferred(conn) || transport_has_unread(conn->transport))
        conn_break(conn);
    conn->watch.flags &= (uint16_t)~CONN_DEFERRED;
    stop_waiting(conn);
    drop_empty_rest(conn);
}

void conn_wait_in_throttle(struct conn *conn)
{
    if (enter_throttle(conn) != ERR_OK) {
        do_without_throttle(conn);
        return;
    }
    if (is_busy(conn))
        return;
    conn->watch.flags |= CONN_BUSY;
    conn_watch_again(conn);
    metrics_add(METRIC_THROTTLED, !is_deferred(conn));
}

void conn_feed(struct conn *conn, uint8_t *bytes, size_t len)
{
    size_t taken = offer_bytes(conn, bytes, len);
    if (conn->watch.fd < 0)
        return;
    if (len - taken > CONN_REST_MAX_BYTES) {
        conn_ops_of(conn)->on_gone(conn, false);
        return;
    }
    keep_unread_bytes(conn, bytes + taken, len - taken);
    if (is_deferred(conn))
        conn_wait_in_throttle(conn);
}

/* ---- work ---- */

/* While its on_bytes runs it is not known how many bytes will be left, so it enters the throttle
 * after on_bytes has returned; a held one when it goes on. */
static void defer_conn(struct conn *conn)
{
    conn->watch.flags |= CONN_DEFERRED;
    if (conn->loop->offered != conn && !conn_is_held(conn))
        conn_wait_in_throttle(conn);
}

bool conn_take_turn(struct conn *conn)
{
    bool is_in_turn = conn->loop->in_turn == conn;
    if (is_in_turn)
        conn->loop->in_turn = NULL;
    if (is_in_turn || throttle_is_free(&conn->loop->throttle))
        return true;
    defer_conn(conn);
    return false;
}

void conn_loop_count_work(struct conn_loop *loop, int64_t us)
{
    int64_t bytes = us * CONN_BUSY_BYTES_PER_MS / CONN_WORK_US_PER_MS;
    if (bytes > 0)
        throttle_charge(&loop->throttle, (size_t)bytes);
}

void conn_resume(struct conn *conn)
{
    if (!is_paused(conn))
        return;
    conn->watch.flags &= (uint16_t)~CONN_PAUSED;
    defer_conn(conn);
}

bool conn_has_unread(const struct conn *conn)
{
    int n = 0;
    return transport_has_unread(conn->transport) ||
           (ioctl(conn->watch.fd, FIONREAD, &n) == 0 && n > 0);
}

static void continue_reading(struct conn *conn)
{
    size_t len = conn->rest->len;
    uint8_t *bytes = conn->loop->read_buffer;
    if (len > 0)
        memcpy(bytes, conn->rest->bytes, len);
    conn->watch.flags &= (uint16_t)~CONN_DEFERRED;
    conn->loop->in_turn = conn;
    size_t taken = offer_bytes(conn, bytes, len);
    conn->loop->in_turn = NULL;
    if (conn->watch.fd >= 0)
        keep_unread_bytes(conn, bytes + taken, len - taken);
}

/* ---- reads ---- */

/* Must the connection wait before it is read again? */
static bool charge_conn(struct conn *conn, size_t bytes)
{
    if (conn->watch.flags & CONN_BULK || (!is_busy(conn) && bytes < BUSY_BYTES))
        return false;
    bool is_used_up = throttle_charge(&conn->loop->throttle, READ_COST_BYTES + bytes);
    return bytes >= BUSY_BYTES && (is_used_up || is_busy(conn));
}

/* A TLS client that requests answers below HTTP (key updates) and does not read them would be ready
 * to read in each turn, so it is not watched for EPOLLIN. */
static void set_deaf(struct conn *conn, bool deaf)
{
    if (deaf == is_deaf(conn))
        return;
    conn->watch.flags ^= CONN_DEAF;
    conn_watch_again(conn);
}

static void read_socket(struct conn *conn)
{
    uint8_t *buffer = conn->loop->read_buffer;
    size_t kept = conn->rest != NULL ? conn->rest->len : 0;
    struct transport_read got;
    enum transport_state state =
        conn->transport->ops->read(conn->transport, conn->watch.fd, buffer + kept, &got);
    *read_bytes_of(conn) += got.len + got.cost_bytes;
    set_deaf(conn, state == TRANSPORT_WANTS_WRITE);
    if (state == TRANSPORT_MOVED)
        take_bytes(conn, buffer, kept, got.len);
    else if (state == TRANSPORT_CLOSED || state == TRANSPORT_BROKEN)
        conn_ops_of(conn)->on_gone(conn, state == TRANSPORT_CLOSED);
}

/* epoll does not report what the transport holds, so it is read in the next turn of the throttle.
 */
static bool must_read_again(const struct conn *conn)
{
    return transport_has_unread(conn->transport) && !is_deaf(conn);
}

static void read_now(struct conn *conn)
{
    size_t *read_bytes = read_bytes_of(conn);
    size_t before = *read_bytes;
    if (is_busy(conn)) /* the rest, which has its entry in the throttle, may be reallocated */
        throttle_leave(&conn->loop->throttle, &conn->rest->throttled);
    if (is_deferred(conn))
        continue_reading(conn);
    else
        read_socket(conn);

    bool must_wait = charge_conn(conn, *read_bytes - before);
    if (conn->watch.fd < 0)
        return;
    must_wait = must_wait || must_read_again(conn);
    if (is_deferred(conn) || (must_wait && !is_paused(conn)))
        conn_wait_in_throttle(conn);
    else
        stop_waiting(conn);
}

void conn_read(struct conn *conn)
{
    if (conn_has_turn(conn))
        read_now(conn);
    else if (kind_of(conn) == 0)
        reactor_yield(conn->loop->reactor);
}

void conn_read_in_turn(struct throttled *throttled)
{
    read_now(CONTAINER_OF(throttled, struct conn_rest, throttled)->conn);
}

void conn_read_passing(struct reactor_watch *watch)
{
    struct conn *conn = CONTAINER_OF(watch, struct conn, watch);
    if (conn_epoll_events(conn) & EPOLLIN)
        conn_read(conn);
}
