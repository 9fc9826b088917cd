/* HTTP connections that leave for another process or come from one (carried_http.h). What leaves is
 * read out and nothing is changed, so that the connection can go on here; what comes is fed with
 * the bytes that the other process has read, as if they had just arrived. */
#include "gateway/http/http_conn_parts.h"
#include "gateway/http/http_conns.h"

/* Somebody has the request, or its answer is not written. */
static bool is_under_way(const struct http_conn *http_conn)
{
    return http_conn->is_waiting || http_conn->is_streaming || http_conn->is_answering ||
           http_conn->is_answered || http_conn->ops != NULL || http_conn->on_body != NULL ||
           http_conn->pins > 0;
}

static bool can_travel(const struct http_conn *http_conn)
{
    return conn_may_be_left(&http_conn->conn) && !is_under_way(http_conn) &&
           !http_conn->is_half_closed && !http_conn->is_late &&
           http_conn->due_ms != HTTP_CONN_NOT_DUE && http_conn_unsent(http_conn) == 0;
}

/* The time that it has, all in all, in its present state. */
static int64_t patience_ms(const struct http_conn *http_conn, bool is_resting)
{
    const struct http_limits *limits = http_conn_limits(http_conn);
    return is_resting ? atomic_load(&limits->idle_timeout_ms)
                      : atomic_load(&limits->head_timeout_ms);
}

static uint32_t waited_ms(const struct http_conn *http_conn, bool is_resting)
{
    const struct worker *worker = CONTAINER_OF(http_conn->conn.loop, struct worker, loop);
    int64_t left_ms = http_conn->due_ms - worker_now_ms(worker);
    int64_t waited_ms = patience_ms(http_conn, is_resting) - left_ms;
    return waited_ms <= 0 ? 0 : waited_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)waited_ms;
}

/* The bytes of a request that waits for its turn are carried as a head that has come. */
static void carry_one(struct http_conn *http_conn, carried_http_fn *visit, void *closure)
{
    struct carried_http carried = {.n_skipped = http_conn->n_skipped,
                                   .bytes = buf_span(&http_conn->bytes)};
    carried.state = http_conn->is_lingering ? CARRIED_HTTP_RESTING : CARRIED_HTTP_HEAD;
    carried.waited_ms = waited_ms(http_conn, http_conn->is_lingering);
    peer_carry_unnamed(http_conn->peer, &carried.peer);
    http_conn->is_carried = visit(closure, http_conn->conn.watch.fd, &carried);
}

static void carry_list(struct list *list, carried_http_fn *visit, void *closure)
{
    LIST_FOR_EACH(link, list)
    {
        struct http_conn *http_conn = CONTAINER_OF(link, struct http_conn, link);
        http_conn->is_carried = false;
        if (can_travel(http_conn))
            carry_one(http_conn, visit, closure);
    }
}

void http_conns_carry(struct http_conns *all, carried_http_fn *visit, void *closure)
{
    carry_list(&all->heads, visit, closure);
    carry_list(&all->open, visit, closure);
    carry_list(&all->resting, visit, closure);
}

unsigned http_conns_under_way(const struct http_conns *all)
{
    unsigned n = 0;
    LIST_FOR_EACH(link, &all->open)
    {
        n += is_under_way(CONTAINER_OF(link, struct http_conn, link));
    }
    return n;
}

/* Of those that can be carried: TLS has its own business with the socket. */
static void set_reading(struct list *list, void (*set)(struct conn *conn))
{
    LIST_FOR_EACH(link, list)
    {
        struct http_conn *http_conn = CONTAINER_OF(link, struct http_conn, link);
        if (conn_may_be_left(&http_conn->conn))
            set(&http_conn->conn);
    }
}

void http_conns_pause(struct http_conns *all)
{
    set_reading(&all->heads, conn_pause);
    set_reading(&all->resting, conn_pause);
}

void http_conns_resume(struct http_conns *all)
{
    set_reading(&all->heads, conn_resume);
    set_reading(&all->resting, conn_resume);
}

static void drop_carried(struct list *list)
{
    LIST_FOR_EACH_SAFE(link, list)
    {
        struct http_conn *http_conn = CONTAINER_OF(link, struct http_conn, link);
        if (http_conn->is_carried)
            http_conn_close(http_conn);
    }
}

void http_conns_drop_carried(struct http_conns *all)
{
    drop_carried(&all->heads);
    drop_carried(&all->open);
    drop_carried(&all->resting);
}

/* ---- from another process ---- */

/* It answers, releases its socket or ends in here, as after any other bytes. */
static void feed_bytes(struct http_conn *http_conn, struct span bytes)
{
    if (bytes.len > 0)
        conn_feed(&http_conn->conn, (uint8_t *)bytes.bytes, bytes.len);
}

enum err http_conn_adopt(struct worker *worker, int fd, struct peer *peer, const struct ip *from,
                         const struct carried_http *carried, struct http_conns *all)
{
    struct http_conn *http_conn;
    bool is_resting = carried->state == CARRIED_HTTP_RESTING;
    enum err error = http_conn_make(worker, fd, peer, from, NULL, all, &http_conn);
    if (error != ERR_OK)
        return error;
    int64_t left_ms = patience_ms(http_conn, is_resting) - carried->waited_ms;
    http_conn->n_skipped = carried->n_skipped;
    if (is_resting) {
        http_conn_move(http_conn, &all->resting);
        http_conn_begin_to_linger(http_conn, left_ms);
    } else {
        http_conn_set_timer(http_conn, left_ms);
        if (carried->n_skipped > 0)
            http_conn_move(http_conn, &all->open); /* no head has begun */
        feed_bytes(http_conn, carried->bytes);
    }
    if (!http_conn->is_gone)
        conn_begin(&http_conn->conn);
    return ERR_OK;
}
