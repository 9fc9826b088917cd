/* An HTTP connection collects its head (proto/http/http_head.c), at most --max-head within
 * --head-timeout (the TLS handshake included), and hands it to on_request.
 *
 * A refusal is written, the sending side is shut down, and the socket closed when the peer has gone
 * or after a second: closing at once could destroy the answer on its way.
 *
 * A connection that is kept (http_conn_keep) goes on when its answer is written: what has come
 * behind the request is the next one's head, looked at in the next turn, so that one who sends many
 * at once takes his turn like everybody else and is never owed more than one answer. With nothing
 * there it rests for HTTP_KEEP_S and makes room for others meanwhile. However much is sent ahead,
 * only BEHIND_MAX_BYTES of it are held: then nothing more is read until there is room again. */
#include "gateway/http/http_conn_parts.h"

#include "gateway/base/metrics.h"
#include "gateway/net/listener.h"
#include "gateway/net/tls.h"
#include "proto/http/http_answer.h"

#include <stdio.h>
#include <stdlib.h>

/* One read brings no more than TRANSPORT_ROOM_BYTES: the one that ends a head, and another before
 * it is seen that there is no room any more. */
enum { BEHIND_MAX_BYTES = 2 * TRANSPORT_ROOM_BYTES };

struct worker *http_conn_worker(struct http_conn *http_conn)
{
    return CONTAINER_OF(http_conn->conn.loop, struct worker, loop);
}

static void free_arrival(struct grave *grave)
{
    struct http_conn *http_conn = CONTAINER_OF(grave, struct http_conn, grave);
    buf_fini(&http_conn->bytes);
    free(http_conn);
}

static void bury_if_unused(struct http_conn *http_conn)
{
    if (http_conn->is_gone && http_conn->pins == 0)
        worker_bury(http_conn_worker(http_conn), &http_conn->grave, free_arrival);
}

/* The socket has been closed or given away. */
static void leave(struct http_conn *http_conn)
{
    timer_cancel(reactor_timers(http_conn_worker(http_conn)->reactor), &http_conn->timer);
    list_remove(&http_conn->link);
    http_conn->is_gone = true;
    bury_if_unused(http_conn);
}

void http_conn_finish(struct http_conn *http_conn)
{
    if (http_conn->is_lingering)
        atomic_fetch_sub(&http_conn_node(http_conn)->n_lingering, 1);
    peer_leave(http_conn->peer);
    http_conn->peer = NULL;
    conn_abandon(&http_conn->conn);
    atomic_fetch_sub(&http_conn_node(http_conn)->n_sockets, 1);
    leave(http_conn);
}

void http_conn_pin(struct http_conn *http_conn)
{
    http_conn->pins++;
    timer_cancel(reactor_timers(http_conn_worker(http_conn)->reactor), &http_conn->timer);
}

bool http_conn_take_turn(struct http_conn *http_conn)
{
    if (http_conn->is_late)
        return false;
    http_conn->is_put_off = !conn_take_turn(&http_conn->conn);
    metrics_add(METRIC_CREDENTIALS_SHARE, http_conn->is_put_off);
    return !http_conn->is_put_off;
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
    bury_if_unused(http_conn);
}

bool http_conn_is_gone(const struct http_conn *http_conn)
{
    return http_conn->is_gone;
}

void http_conn_want_body(struct http_conn *http_conn, size_t len,
                         void (*on_body)(struct http_conn *http_conn, struct span body))
{
    http_conn->body_len = len;
    http_conn->on_body = on_body;
    http_conn->bytes.max = http_conn->head.len + len + BEHIND_MAX_BYTES;
    conn_resume(&http_conn->conn); /* there is room for it now */
}

const struct http_head *http_conn_head(const struct http_conn *http_conn)
{
    return &http_conn->head;
}

struct span http_conn_bytes(const struct http_conn *http_conn)
{
    return buf_span(&http_conn->bytes);
}

struct peer *http_conn_peer(const struct http_conn *http_conn)
{
    return http_conn->peer;
}

void http_conn_who(const struct http_conn *http_conn, struct refused_who *ret_who)
{
    const struct http_head *head = &http_conn->head;
    const char *bytes = http_conn->bytes.bytes;
    const char *why;
    if (!peer_describe(http_conn->peer, ret_who->address, sizeof ret_who->address))
        listener_peer(http_conn->conn.watch.fd, ret_who->address, sizeof ret_who->address);
    if (query_user_id(http_part_span(bytes, head->query), ret_who->user, &ret_who->user_len,
                      &why) != ERR_OK)
        ret_who->user_len = 0;
    ret_who->place = http_part_span(bytes, head->path);
    ret_who->host = http_part_span(bytes, head->host);
    ret_who->origin = (struct span){0};
    http_head_find(head, bytes, "Origin", &ret_who->origin);
}

struct transport_socket http_conn_release(struct http_conn *http_conn, struct peer **ret_peer)
{
    *ret_peer = http_conn->peer;
    http_conn->peer = NULL;
    uint8_t *rest;
    size_t n_rest;
    struct transport_socket socket = conn_release(&http_conn->conn, &rest, &n_rest);
    free(rest); /* an HTTP connection takes all its bytes: there is none */
    leave(http_conn);
    return socket;
}

static void try_body(struct http_conn *http_conn)
{
    if (http_conn->bytes.len - http_conn->head.len < http_conn->body_len)
        return;
    void (*on_body)(struct http_conn *, struct span) = http_conn->on_body;
    http_conn->on_body = NULL;
    http_conn->is_answered = true; /* it will be, and nothing more is read */
    on_body(http_conn,
            (struct span){http_conn->bytes.bytes + http_conn->head.len, http_conn->body_len});
}

static void refuse_head(struct http_conn *http_conn)
{
    const struct http_head *head = &http_conn->head;
    char detail[160];
    snprintf(detail, sizeof detail, "%s: --max-head allows %u bytes and %u fields", head->detail,
             head->max_bytes, head->max_fields);
    http_conn_refuse(http_conn, head->error,
                     head->error == ERR_HEAD_TOO_LARGE ? detail : head->detail, NULL, NULL);
}

static void serve(struct http_conn *http_conn)
{
    http_conn->all->on_request(http_conn);
    if (!http_conn->is_gone && !http_conn->is_answered && http_conn->on_body != NULL)
        try_body(http_conn);
}

static void try_head(struct http_conn *http_conn)
{
    switch (http_head_parse(&http_conn->head, http_conn->bytes.bytes, http_conn->bytes.len)) {
    case HTTP_HEAD_MORE:
        break;
    case HTTP_HEAD_BAD:
        refuse_head(http_conn);
        break;
    case HTTP_HEAD_DONE:
        if (peer_is_unresolved(http_conn->peer))
            peer_tell_by_head(http_conn->peer, &http_conn->head, http_conn->bytes.bytes);
        serve(http_conn);
        break;
    }
}

/* ---- the next request ---- */

static void move_to(struct http_conn *http_conn, struct list *list)
{
    list_remove(&http_conn->link);
    list_append(list, &http_conn->link);
}

/* What was answered is over. */
static void forget_request(struct http_conn *http_conn)
{
    size_t len = http_conn->head.len + http_conn->body_len;
    size_t here = len < http_conn->bytes.len ? len : http_conn->bytes.len;
    http_conn->n_skipped = len - here;
    buf_consume(&http_conn->bytes, here);
    if (http_conn->bytes.len == 0)
        buf_clear(&http_conn->bytes);
    http_head_init(&http_conn->head, http_conn->head.max_bytes, http_conn->fields,
                   http_conn->head.max_fields);
    http_conn->is_waiting = http_conn->is_answered = http_conn->is_readable = false;
    http_conn->is_kept = http_conn->may_be_kept = false;
    peer_next(http_conn->peer);
}

static bool has_room_to_read(const struct http_conn *http_conn)
{
    return http_conn->bytes.max - http_conn->bytes.len >= TRANSPORT_ROOM_BYTES;
}

static void rest(struct http_conn *http_conn)
{
    peer_rest(http_conn->peer);
    move_to(http_conn, &http_conn->all->resting);
    http_conn_begin_to_linger(http_conn, HTTP_KEEP_S * 1000);
}

static void begin_next(struct http_conn *http_conn)
{
    forget_request(http_conn);
    if (has_room_to_read(http_conn))
        conn_resume(&http_conn->conn);
    if (http_conn->bytes.len == 0 && http_conn->n_skipped == 0) {
        rest(http_conn);
        return;
    }
    http_conn_set_timer(http_conn, http_conn_node(http_conn)->options->head_timeout);
    if (http_conn->bytes.len > 0)
        try_head(http_conn);
}

static void on_next(struct letter *letter)
{
    struct http_conn *http_conn = CONTAINER_OF(letter, struct http_conn, next);
    if (!http_conn->is_gone && !atomic_load(&http_conn_node(http_conn)->is_stopping))
        begin_next(http_conn);
    http_conn_unpin(http_conn);
}

/* It has rested, and something comes. false: its address has too many connections now, and it is
 * refused. */
static bool wake(struct http_conn *http_conn)
{
    http_conn->is_lingering = false;
    atomic_fetch_sub(&http_conn_node(http_conn)->n_lingering, 1);
    move_to(http_conn, &http_conn->all->open);
    http_conn_set_timer(http_conn, http_conn_node(http_conn)->options->head_timeout);
    enum err error = peer_wake(http_conn->peer);
    if (error != ERR_OK)
        http_conn_refuse(http_conn, error, NULL, NULL, NULL);
    return error == ERR_OK;
}

/* ---- the socket ---- */

/* A body that is not read passes by. false: that was all of it. */
static bool skip_body(struct http_conn *http_conn, uint8_t **bytes, size_t *len)
{
    size_t skipped = http_conn->n_skipped < *len ? http_conn->n_skipped : *len;
    http_conn->n_skipped -= skipped;
    *bytes += skipped;
    *len -= skipped;
    if (*len == 0 && http_conn->n_skipped == 0)
        rest(http_conn);
    return *len > 0;
}

static void take_bytes(struct http_conn *http_conn, const uint8_t *bytes, size_t len)
{
    if (buf_append(&http_conn->bytes, bytes, len) != ERR_OK) {
        http_conn_finish(http_conn); /* out of memory */
        return;
    }
    if (http_conn->is_waiting || http_conn->is_answered) {
        if (!has_room_to_read(http_conn))
            conn_pause(&http_conn->conn);
    } else if (http_conn->on_body != NULL) {
        try_body(http_conn);
    } else {
        try_head(http_conn);
    }
}

static size_t on_bytes(struct conn *conn, uint8_t *bytes, size_t len)
{
    struct http_conn *http_conn = CONTAINER_OF(conn, struct http_conn, conn);
    size_t n_taken = len;
    if (http_conn->is_answered && !http_conn->is_kept)
        return len;
    if (http_conn->is_put_off) { /* its turn has come; nothing was read meanwhile */
        http_conn->is_put_off = false;
        serve(http_conn);
        return 0;
    }
    if (len == 0) /* it is read again from now on */
        return 0;
    if (http_conn->is_lingering && !wake(http_conn))
        return len;
    if (skip_body(http_conn, &bytes, &len))
        take_bytes(http_conn, bytes, len);
    return n_taken;
}

/* An HTTP connection writes nothing but its answer. */
static void on_drained(struct conn *conn)
{
    struct http_conn *http_conn = CONTAINER_OF(conn, struct http_conn, conn);
    if (!http_conn->is_kept) {
        move_to(http_conn, &http_conn->all->written);
    } else if (http_conn->bytes.len <= http_conn->head.len + http_conn->body_len) {
        begin_next(http_conn);
    } else {
        http_conn->pins++;
        http_conn->next.deliver = on_next;
        mailbox_post(worker_mailbox(http_conn_worker(http_conn)), &http_conn->next);
    }
}

static void on_gone(struct conn *conn, bool is_clean)
{
    (void)is_clean;
    http_conn_finish(CONTAINER_OF(conn, struct http_conn, conn));
}

static struct ip address(const struct conn *conn)
{
    const struct http_conn *http_conn = CONTAINER_OF(conn, const struct http_conn, conn);
    return peer_of_work(http_conn->peer, conn->watch.fd);
}

static const struct conn_ops ops = {
    .on_bytes = on_bytes, .on_drained = on_drained, .on_gone = on_gone, .address = address};

/* How one is refused depends on what it asks for, so whoever put it off is asked again. */
static void refuse_late(struct http_conn *http_conn)
{
    http_conn->is_put_off = false;
    http_conn->is_late = true;
    serve(http_conn);
}

static void on_timer(struct timer *timer)
{
    struct http_conn *http_conn = CONTAINER_OF(timer, struct http_conn, timer);
    http_conn->may_be_kept = false;
    if (http_conn->is_answered || http_conn->is_lingering || conn_is_shaking(&http_conn->conn) ||
        http_conn->n_skipped > 0) /* the request whose body is not over was answered */
        http_conn_finish(http_conn);
    else if (http_conn->is_waiting)
        http_conn_refuse(http_conn, ERR_STORE_UNAVAILABLE, NULL, NULL, NULL);
    else if (http_conn->is_put_off)
        refuse_late(http_conn);
    else
        http_conn_refuse(http_conn, ERR_HEAD_TIMEOUT, NULL, NULL, NULL);
}

static enum err accept_socket(struct http_conn *http_conn, struct worker *worker, int fd,
                              const struct ip *from)
{
    struct transport_socket socket = {fd, &transport_plain};
    struct tls_context *tls = worker->node->tls;
    enum err error = tls == NULL ? ERR_OK : tls_new(tls, &socket.transport);
    if (error != ERR_OK)
        return error;
    error = conn_accept(&http_conn->conn, &worker->loop, &ops, socket, from);
    if (error != ERR_OK)
        socket.transport->ops->free(socket.transport);
    return error;
}

enum err http_conn_new(struct worker *worker, int fd, struct peer *peer, const struct ip *from,
                       int64_t due_ms, struct http_conns *all)
{
    size_t max_bytes = (size_t)worker->node->options->max_head;
    size_t max_fields = max_bytes / HTTP_HEAD_FIELD_BYTES;
    struct http_conn *http_conn =
        calloc(1, sizeof *http_conn + max_fields * sizeof http_conn->fields[0]);
    if (http_conn == NULL)
        return ERR_NO_MEMORY;
    enum err error = accept_socket(http_conn, worker, fd, from);
    if (error != ERR_OK) {
        free(http_conn);
        return error;
    }
    http_conn->peer = peer;
    buf_init(&http_conn->bytes, max_bytes + BEHIND_MAX_BYTES);
    http_head_init(&http_conn->head, max_bytes, http_conn->fields, max_fields);
    http_conn->all = all;
    list_append(&all->open, &http_conn->link);
    timer_init(&http_conn->timer, on_timer);
    timer_set(reactor_timers(worker->reactor), &http_conn->timer, due_ms);
    return ERR_OK;
}

void http_conns_init(struct http_conns *http_conns, http_request_fn *on_request)
{
    http_conns->on_request = on_request;
    list_init(&http_conns->open);
    list_init(&http_conns->written);
    list_init(&http_conns->resting);
}

static bool drop_first(struct list *list)
{
    if (list_is_empty(list))
        return false;
    http_conn_finish(CONTAINER_OF(list->next, struct http_conn, link));
    return true;
}

bool http_conns_make_room(struct http_conns *all)
{
    return drop_first(&all->written) || drop_first(&all->resting);
}

void http_conns_drop_resting(struct http_conns *all)
{
    drop_first(&all->resting);
}

void http_conns_drop_unfinished(struct http_conns *all)
{
    LIST_FOR_EACH_SAFE(link, &all->open)
    {
        struct http_conn *http_conn = CONTAINER_OF(link, struct http_conn, link);
        if (http_conn->is_put_off)
            refuse_late(http_conn);
        else if (!http_conn->is_answered && !http_conn->is_waiting)
            http_conn_finish(http_conn);
    }
    while (drop_first(&all->resting)) {
    }
}

void http_conns_drop_all(struct http_conns *all)
{
    while (drop_first(&all->open) || http_conns_make_room(all)) {
    }
}
