/* New HTTP connections, what becomes of one whose time is over or whose peer goes, and which of an
 * acceptor's are closed for others or at the stop. Each connection is in one of the acceptor's
 * lists, at the end of which it begins to wait, so the first one of a list has waited longest. */
#include "gateway/http/http_conns.h"

#include "gateway/base/metrics.h"
#include "gateway/http/http_conn_parts.h"
#include "gateway/net/tls.h"

#include <stdlib.h>

/* Connections that are looked at to find one of an address: those that wait longest are mostly of
 * the address that has too many. */
enum { LOOKS_MAX = 64 };

static void on_http_conn_gone(struct conn *conn, bool is_clean)
{
    struct http_conn *http_conn = CONTAINER_OF(conn, struct http_conn, conn);
    if (!is_clean || !http_conn_half_close(http_conn))
        http_conn_close(http_conn);
}

static struct ip address_of_work(const struct conn *conn)
{
    const struct http_conn *http_conn = CONTAINER_OF(conn, const struct http_conn, conn);
    return peer_of_work(http_conn->peer, conn->watch.fd);
}

static const struct conn_ops http_conn_ops = {.on_bytes = http_conn_on_bytes,
                                              .on_drained = http_conn_on_drained,
                                              .on_gone = on_http_conn_gone,
                                              .address = address_of_work};

/* Its peer reads slowly, but has read something within stall_timeout_ms. */
static bool wait_for_moving_answer(struct http_conn *http_conn)
{
    int64_t moved_ms = conn_moved_ms(&http_conn->conn);
    int64_t due_ms = moved_ms + atomic_load(&http_conn_limits(http_conn)->stall_timeout_ms);
    struct worker *worker = http_conn_worker(http_conn);
    if (moved_ms == 0 || conn_is_shaking(&http_conn->conn) || due_ms <= worker_now_ms(worker))
        return false;
    http_conn_set_timer(http_conn, due_ms - worker_now_ms(worker));
    return true;
}

static void on_http_conn_timer(struct timer *timer)
{
    struct http_conn *http_conn = CONTAINER_OF(timer, struct http_conn, timer);
    if (http_conn->due_ms == HTTP_CONN_NOT_DUE)
        return;
    if (http_conn->due_ms > worker_now_ms(http_conn_worker(http_conn))) {
        worker_set_timer(http_conn_worker(http_conn), timer, http_conn->due_ms);
        return;
    }
    if (wait_for_moving_answer(http_conn))
        return;
    http_conn->may_be_kept = false;
    if (http_conn->is_answered || http_conn->is_answering || http_conn->is_lingering ||
        conn_is_shaking(&http_conn->conn) ||
        http_conn->n_skipped > 0) /* the request whose body is not over was answered */
        http_conn_close(http_conn);
    else if (http_conn->is_waiting)
        http_conn_refuse(http_conn, ERR_STORE_UNAVAILABLE, NULL, NULL, NULL);
    else if (http_conn->is_streaming)
        http_conn_stall_body(http_conn);
    else if (http_conn->is_deferred)
        http_conn_refuse_late(http_conn);
    else
        http_conn_refuse(http_conn, ERR_HEAD_TIMEOUT, NULL, NULL, NULL);
}

static enum err accept_socket(struct http_conn *http_conn, struct worker *worker, int fd,
                              const struct ip *from, struct tls_context *tls)
{
    struct transport_socket socket = {fd, &transport_plain};
    enum err error = tls == NULL ? ERR_OK : tls_new(tls, &socket.transport);
    if (error != ERR_OK)
        return error;
    error = conn_accept(&http_conn->conn, &worker->loop, &http_conn_ops, socket, from);
    if (error != ERR_OK)
        socket.transport->ops->free(socket.transport);
    return error;
}

enum err http_conn_make(struct worker *worker, int fd, struct peer *peer, const struct ip *from,
                        struct tls_context *tls, struct http_conns *all,
                        struct http_conn **ret_http_conn)
{
    struct http_conn *http_conn = calloc(1, sizeof *http_conn);
    if (http_conn == NULL)
        return ERR_NO_MEMORY;
    http_conn->all = all;
    enum err error = accept_socket(http_conn, worker, fd, from, tls);
    if (error != ERR_OK) {
        free(http_conn);
        return error;
    }
    http_conn->peer = peer;
    http_conn->next.deliver = http_conn_on_next;
    conn_set_kind(&http_conn->conn, all->port->conn_kind);
    if (all->port->is_uncounted)
        conn_set_uncounted(&http_conn->conn);
    http_conn_expect_head(http_conn);
    list_init(&http_conn->link);
    http_conn_move(http_conn, &all->heads);
    timer_init(&http_conn->timer, on_http_conn_timer);
    *ret_http_conn = http_conn;
    return ERR_OK;
}

enum err http_conn_new(struct worker *worker, int fd, struct peer *peer, const struct ip *from,
                       int64_t due_ms, struct http_conns *all)
{
    struct http_conn *http_conn;
    enum err error = http_conn_make(worker, fd, peer, from, all->port->tls, all, &http_conn);
    if (error != ERR_OK)
        return error;
    http_conn->due_ms = due_ms;
    worker_set_timer(worker, &http_conn->timer, due_ms);
    conn_begin(&http_conn->conn);
    return ERR_OK;
}

void http_conns_init(struct http_conns *http_conns, struct http_port *port)
{
    http_conns->port = port;
    list_init(&http_conns->heads);
    list_init(&http_conns->open);
    list_init(&http_conns->written);
    list_init(&http_conns->resting);
    atomic_init(&http_conns->n_heads, 0);
    atomic_init(&http_conns->n_lingering, 0);
}

static bool close_first(struct list *list)
{
    if (list_is_empty(list))
        return false;
    http_conn_close(CONTAINER_OF(list->next, struct http_conn, link));
    return true;
}

static bool takes_its_time(struct http_conn *http_conn)
{
    int64_t timeout_ms = atomic_load(&http_conn_limits(http_conn)->head_timeout_ms);
    int64_t left_ms = http_conn->due_ms - worker_now_ms(http_conn_worker(http_conn));
    return timeout_ms - left_ms >= HTTP_FRESH_MS;
}

static void close_for_other(struct http_conn *http_conn)
{
    metrics_add(METRIC_HEADS_GAVE_WAY, http_conn->is_heading);
    http_conn_close(http_conn);
}

/* The head that has waited longest; not a fresh one, unless `is_fresh_too`. */
static bool close_head(struct http_conns *all, bool is_fresh_too)
{
    if (!all->port->heads_give_way || list_is_empty(&all->heads))
        return false;
    struct http_conn *first = CONTAINER_OF(all->heads.next, struct http_conn, link);
    if (!is_fresh_too && !takes_its_time(first))
        return false;
    close_for_other(first);
    return true;
}

bool http_conns_make_room(struct http_conns *all)
{
    return close_first(&all->written) || close_head(all, false) || close_first(&all->resting) ||
           close_head(all, true);
}

void http_conns_yield(struct http_conns *all)
{
    if (!close_head(all, false) && !close_first(&all->resting))
        close_head(all, true);
}

/* The first of them from that network. NULL: none of the first few is. */
static struct http_conn *first_from(const struct list *list, const struct ip *network)
{
    int n = 0;
    for (const struct list *link = list->next; link != list && n < LOOKS_MAX; link = link->next) {
        struct http_conn *http_conn = CONTAINER_OF(link, struct http_conn, link);
        struct ip other = {0};
        if (http_conn->peer != NULL)
            other = ip_network(peer_address(http_conn->peer));
        if (http_conn->peer != NULL && ip_equal(&other, network))
            return http_conn;
        n++;
    }
    return NULL;
}

bool http_conns_yield_to(struct http_conns *all, const struct ip *from)
{
    if (!all->port->heads_give_way)
        return false;
    struct ip network = ip_network(from);
    struct http_conn *head = first_from(&all->heads, &network);
    struct http_conn *resting = first_from(&all->resting, &network);
    bool prefers_head = head != NULL && (resting == NULL || takes_its_time(head));
    struct http_conn *gives_way = prefers_head ? head : resting;
    if (gives_way == NULL)
        return false;
    close_for_other(gives_way);
    return true;
}

bool http_conns_can_yield(const struct http_conns *all)
{
    return atomic_load(&all->n_lingering) > 0 ||
           (all->port->heads_give_way && atomic_load(&all->n_heads) > 0);
}

void http_conns_drop_unfinished(struct http_conns *all)
{
    LIST_FOR_EACH_SAFE(link, &all->open)
    {
        struct http_conn *http_conn = CONTAINER_OF(link, struct http_conn, link);
        if (http_conn->is_deferred)
            http_conn_refuse_late(http_conn);
        else if (!http_conn->is_answered && !http_conn->is_answering && !http_conn->is_waiting &&
                 !http_conn->is_streaming)
            http_conn_close(http_conn);
    }
    while (close_first(&all->heads) || close_first(&all->resting)) {
    }
}

unsigned http_conns_drop_unread(struct http_conns *all, int64_t quiet_ms)
{
    unsigned n_unread = 0;
    LIST_FOR_EACH_SAFE(link, &all->open)
    {
        struct http_conn *http_conn = CONTAINER_OF(link, struct http_conn, link);
        int64_t moved_ms = conn_moved_ms(&http_conn->conn);
        if (moved_ms == 0)
            continue;
        if (worker_now_ms(http_conn_worker(http_conn)) - moved_ms >= quiet_ms)
            http_conn_close(http_conn);
        else
            n_unread++;
    }
    return n_unread;
}

void http_conns_drop_all(struct http_conns *all)
{
    while (close_first(&all->heads) || close_first(&all->open) || close_first(&all->written) ||
           close_first(&all->resting)) {
    }
}
