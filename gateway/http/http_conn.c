/* The lowest file of an HTTP connection, which the others use: the end of its socket, and the
 * functions that on_request calls. The ladder above it: http_conn_answer.c (answers),
 * http_conn_body.c (bodies that are streamed), http_conn_request.c (what comes in), http_conns.c
 * (new connections, and all of an acceptor).
 *
 * A request whose head comes in one read is served where it was read, without a copy (`lent`). What
 * is still needed of it when on_request has returned is copied then (http_conn_hold): a head that
 * is not complete, a request that is under way, and what follows it. */
#include "gateway/http/http_conn_parts.h"

#include "gateway/base/metrics.h"
#include "gateway/net/listener.h"
#include "proto/bytes/user_id.h"

#include <stdlib.h>

struct worker *http_conn_worker(struct http_conn *http_conn)
{
    return CONTAINER_OF(http_conn->conn.loop, struct worker, loop);
}

const struct http_port *http_conn_port(const struct http_conn *http_conn)
{
    return http_conn->all->port;
}

static void free_http_conn(struct deferred_free *deferred)
{
    struct http_conn *http_conn = CONTAINER_OF(deferred, struct http_conn, deferred);
    buf_fini(&http_conn->bytes);
    free(http_conn->fields);
    free(http_conn);
}

static void free_if_unpinned(struct http_conn *http_conn)
{
    if (http_conn->is_gone && http_conn->pins == 0)
        worker_free_later(http_conn_worker(http_conn), &http_conn->deferred, free_http_conn);
}

/* Only its own worker writes it, so nothing has to be locked. */
static void add_to(atomic_uint *count, int n)
{
    unsigned before = atomic_load_explicit(count, memory_order_relaxed);
    atomic_store_explicit(count, before + (unsigned)n, memory_order_relaxed);
}

void http_conn_move(struct http_conn *http_conn, struct list *list)
{
    struct http_conns *all = http_conn->all;
    bool is_heading = list == &all->heads;
    if (is_heading != http_conn->is_heading)
        add_to(&all->n_heads, is_heading ? 1 : -1);
    http_conn->is_heading = is_heading;
    list_remove(&http_conn->link);
    if (list != NULL)
        list_append(list, &http_conn->link);
}

/* The socket has been closed or given away. */
static void detach_http_conn(struct http_conn *http_conn)
{
    worker_cancel_timer(http_conn_worker(http_conn), &http_conn->timer);
    http_conn_move(http_conn, NULL);
    http_conn->is_gone = true;
    free_if_unpinned(http_conn);
}

void http_conn_close(struct http_conn *http_conn)
{
    struct http_port *port = http_conn_own_port(http_conn);
    const struct http_request_ops *ops = http_conn->ops;
    http_conn_end_lingering(http_conn);
    peer_leave(http_conn->peer);
    http_conn->peer = NULL;
    http_conn->ops = NULL;
    conn_abandon(&http_conn->conn);
    atomic_fetch_sub(port->n_sockets, 1);
    detach_http_conn(http_conn);
    if (ops != NULL && ops->on_gone != NULL)
        ops->on_gone(http_conn);
}

/* ---- the bytes of a request ---- */

/* Its own room for at least `n` fields, with those that were found. */
static enum err own_fields(struct http_conn *http_conn, size_t n)
{
    struct http_head *head = &http_conn->head;
    struct http_field *fields = http_conn->fields;
    if (n > http_conn->n_fields) {
        fields = malloc(n * sizeof fields[0]);
        if (fields == NULL)
            return ERR_NO_MEMORY;
    }
    size_t n_found = head->n_fields + (size_t)(head->len == 0); /* one may be half read */
    if (head->fields != fields && n > 0)
        memcpy(fields, head->fields, (n_found < n ? n_found : n) * sizeof fields[0]);
    head->fields = fields;
    if (fields != http_conn->fields) {
        free(http_conn->fields);
        http_conn->fields = fields;
        http_conn->n_fields = (uint32_t)n;
    }
    return ERR_OK;
}

/* What was streamed of the body lies between the head and what follows, and is over. */
static enum err copy_lent(struct http_conn *http_conn, struct span lent)
{
    size_t n_head = http_conn->head.len;
    size_t n_over = http_conn->was_streamed ? http_conn->body_len : 0;
    enum err error = buf_append(&http_conn->bytes, lent.bytes, n_head);
    if (error == ERR_OK)
        error =
            buf_append(&http_conn->bytes, lent.bytes + n_head + n_over, lent.len - n_head - n_over);
    if (http_conn->was_streamed)
        http_conn->body_len = 0;
    return error;
}

bool http_conn_hold(struct http_conn *http_conn)
{
    struct http_head *head = &http_conn->head;
    struct span lent = http_conn->lent;
    enum err error = ERR_OK;
    http_conn->lent = SPAN_NONE;
    if (head->at > 0)
        error = own_fields(http_conn, head->len > 0 ? head->n_fields : head->max_fields);
    if (error == ERR_OK && lent.len > 0)
        error = copy_lent(http_conn, lent);
    if (error != ERR_OK)
        http_conn_close(http_conn);
    return error == ERR_OK;
}

bool http_conn_has_more_here(const struct http_conn *http_conn)
{
    return http_conn->bytes.len > http_conn->head.len + http_conn->body_len;
}

void http_conn_pin(struct http_conn *http_conn)
{
    http_conn->pins++;
    http_conn_cancel_timer(http_conn);
}

bool http_conn_take_turn(struct http_conn *http_conn)
{
    if (http_conn->is_late)
        return false;
    http_conn->is_deferred = !conn_take_turn(&http_conn->conn);
    metrics_add(METRIC_CREDENTIALS_SHARE, http_conn->is_deferred);
    return !http_conn->is_deferred;
}

bool http_conn_is_late(const struct http_conn *http_conn)
{
    return http_conn->is_late;
}

void http_conn_count_work(struct http_conn *http_conn, int64_t us)
{
    conn_loop_count_work(http_conn->conn.loop, us);
}

void http_conn_await(struct http_conn *http_conn)
{
    http_conn->is_waiting = true;
}

bool http_conn_is_answered(const struct http_conn *http_conn)
{
    return http_conn->is_answered;
}

void http_conn_unpin(struct http_conn *http_conn)
{
    http_conn->pins--;
    free_if_unpinned(http_conn);
}

bool http_conn_is_gone(const struct http_conn *http_conn)
{
    return http_conn->is_gone;
}

void http_conn_own(struct http_conn *http_conn, const struct http_request_ops *ops, void *owner)
{
    http_conn->ops = ops;
    http_conn->owner = owner;
}

void *http_conn_owner(const struct http_conn *http_conn)
{
    return http_conn->owner;
}

void http_conn_want_body(struct http_conn *http_conn, size_t len,
                         void (*on_body)(struct http_conn *http_conn, struct span body))
{
    http_conn->body_len = len;
    http_conn->on_body = on_body;
    http_conn->bytes.max = http_conn->head.len + len + HTTP_CONN_AHEAD_MAX_BYTES;
    conn_resume(&http_conn->conn); /* there is room for it now */
}

const struct http_head *http_conn_head(const struct http_conn *http_conn)
{
    return &http_conn->head;
}

struct span http_conn_bytes(const struct http_conn *http_conn)
{
    return http_conn->lent.bytes != NULL ? http_conn->lent : buf_span(&http_conn->bytes);
}

struct peer *http_conn_peer(const struct http_conn *http_conn)
{
    return http_conn->peer;
}

void http_conn_subject(const struct http_conn *http_conn, struct refusal_subject *ret_subject)
{
    const struct http_head *head = &http_conn->head;
    const char *bytes = http_conn_bytes(http_conn).bytes;
    const char *why;
    if (!peer_describe(http_conn->peer, ret_subject->address, sizeof ret_subject->address))
        listener_peer(http_conn->conn.watch.fd, ret_subject->address, sizeof ret_subject->address);
    if (query_user_id(http_part_span(bytes, head->query), ret_subject->user, &ret_subject->user_len,
                      &why) != ERR_OK)
        ret_subject->user_len = 0;
    ret_subject->path = http_part_span(bytes, head->path);
    ret_subject->host = http_part_span(bytes, head->host);
    ret_subject->origin = (struct span){0};
    http_head_find(head, bytes, "Origin", &ret_subject->origin);
}

struct transport_socket http_conn_release(struct http_conn *http_conn, struct peer **ret_peer)
{
    *ret_peer = http_conn->peer;
    http_conn->peer = NULL;
    http_conn->ops = NULL;
    uint8_t *rest;
    size_t n_rest;
    struct transport_socket socket = conn_release(&http_conn->conn, &rest, &n_rest);
    free(rest); /* an HTTP connection takes all its bytes: there is none */
    detach_http_conn(http_conn);
    return socket;
}

void http_conn_set_timer(struct http_conn *http_conn, int64_t ms)
{
    struct worker *worker = http_conn_worker(http_conn);
    http_conn->due_ms = worker_now_ms(worker) + ms;
    if (!timer_is_set(&http_conn->timer) || timer_is_later(&http_conn->timer, http_conn->due_ms))
        worker_set_timer(worker, &http_conn->timer, http_conn->due_ms);
}

void http_conn_cancel_timer(struct http_conn *http_conn)
{
    http_conn->due_ms = HTTP_CONN_NOT_DUE;
}

void http_conn_begin_to_linger(struct http_conn *http_conn, int64_t ms)
{
    http_conn->is_lingering = true;
    add_to(&http_conn->all->n_lingering, 1);
    http_conn_set_timer(http_conn, ms);
}

void http_conn_end_lingering(struct http_conn *http_conn)
{
    if (http_conn->is_lingering)
        add_to(&http_conn->all->n_lingering, -1);
    http_conn->is_lingering = false;
}

void http_conn_go_on_later(struct http_conn *http_conn)
{
    if (http_conn->is_next_posted)
        return;
    http_conn->is_next_posted = true;
    http_conn->pins++;
    mailbox_post(worker_mailbox(http_conn_worker(http_conn)), &http_conn->next);
}
