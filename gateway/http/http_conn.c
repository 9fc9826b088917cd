/* An arrival collects its head (proto/http/http_head.c), at most --max-head within --head-timeout
 * (the TLS handshake included), and hands it to port_routes.c.
 *
 * A refusal is written, the sending side is shut down, and the socket closed when the peer has gone
 * or after a second: closing at once could destroy the answer on its way.
 *
 * A connection that is kept (arrival_keep) goes on when its answer is written: what has come behind
 * the request is the next one's head, looked at in the next turn, so that one who sends many at
 * once takes his turn like everybody else and is never owed more than one answer. With nothing
 * there it rests for HTTP_KEEP_S and makes room for others meanwhile. However much is sent ahead,
 * only BEHIND_MAX_BYTES of it are held: then nothing more is read until there is room again. */
#include "gateway/http/http_conn_parts.h"

#include "gateway/base/metrics.h"
#include "gateway/net/listener.h"
#include "gateway/net/tls.h"
#include "gateway/port/port_routes.h"
#include "proto/http/http_answer.h"

#include <stdio.h>
#include <stdlib.h>

/* One read brings no more than TRANSPORT_ROOM_BYTES: the one that ends a head, and another before
 * it is seen that there is no room any more. */
enum { BEHIND_MAX_BYTES = 2 * TRANSPORT_ROOM_BYTES };

struct worker *arrival_worker(struct arrival *arrival)
{
    return CONTAINER_OF(arrival->conn.loop, struct worker, loop);
}

static void free_arrival(struct grave *grave)
{
    struct arrival *arrival = CONTAINER_OF(grave, struct arrival, grave);
    buf_fini(&arrival->bytes);
    free(arrival);
}

static void bury_if_unused(struct arrival *arrival)
{
    if (arrival->is_gone && arrival->pins == 0)
        worker_bury(arrival_worker(arrival), &arrival->grave, free_arrival);
}

/* The socket has been closed or given away. */
static void leave(struct arrival *arrival)
{
    timer_cancel(reactor_timers(arrival_worker(arrival)->reactor), &arrival->timer);
    list_remove(&arrival->link);
    arrival->is_gone = true;
    bury_if_unused(arrival);
}

void arrival_finish(struct arrival *arrival)
{
    if (arrival->is_lingering)
        atomic_fetch_sub(&arrival_node(arrival)->n_lingering, 1);
    source_leave(arrival->source);
    arrival->source = NULL;
    conn_abandon(&arrival->conn);
    atomic_fetch_sub(&arrival_node(arrival)->n_sockets, 1);
    leave(arrival);
}

void arrival_pin(struct arrival *arrival)
{
    arrival->pins++;
    timer_cancel(reactor_timers(arrival_worker(arrival)->reactor), &arrival->timer);
}

bool arrival_take_turn(struct arrival *arrival)
{
    if (arrival->is_late)
        return false;
    arrival->is_put_off = !conn_take_turn(&arrival->conn);
    metrics_add(METRIC_CREDENTIALS_SHARE, arrival->is_put_off);
    return !arrival->is_put_off;
}

bool arrival_is_late(const struct arrival *arrival)
{
    return arrival->is_late;
}

void arrival_count_ask(struct arrival *arrival)
{
    conn_loop_count_work(arrival->conn.loop, WORKER_ASK_US);
}

void arrival_await(struct arrival *arrival)
{
    arrival->is_waiting = true;
}

bool arrival_is_answered(const struct arrival *arrival)
{
    return arrival->is_answered;
}

void arrival_unpin(struct arrival *arrival)
{
    arrival->pins--;
    bury_if_unused(arrival);
}

bool arrival_is_gone(const struct arrival *arrival)
{
    return arrival->is_gone;
}

void arrival_want_body(struct arrival *arrival, size_t len,
                       void (*on_body)(struct arrival *arrival, struct span body))
{
    arrival->body_len = len;
    arrival->on_body = on_body;
    arrival->bytes.max = arrival->head.len + len + BEHIND_MAX_BYTES;
    conn_resume(&arrival->conn); /* there is room for it now */
}

const struct http_head *arrival_head(const struct arrival *arrival)
{
    return &arrival->head;
}

struct span arrival_bytes(const struct arrival *arrival)
{
    return buf_span(&arrival->bytes);
}

struct source *arrival_source(const struct arrival *arrival)
{
    return arrival->source;
}

void arrival_who(const struct arrival *arrival, struct refused_who *ret_who)
{
    const struct http_head *head = &arrival->head;
    const char *bytes = arrival->bytes.bytes;
    const char *why;
    if (!source_describe(arrival->source, ret_who->address, sizeof ret_who->address))
        listener_peer(arrival->conn.watch.fd, ret_who->address, sizeof ret_who->address);
    if (query_user_id(http_part_span(bytes, head->query), ret_who->user, &ret_who->user_len,
                      &why) != ERR_OK)
        ret_who->user_len = 0;
    ret_who->place = http_part_span(bytes, head->path);
    ret_who->host = http_part_span(bytes, head->host);
    ret_who->origin = (struct span){0};
    http_head_find(head, bytes, "Origin", &ret_who->origin);
}

struct transport_socket arrival_release(struct arrival *arrival, struct source **ret_source)
{
    *ret_source = arrival->source;
    arrival->source = NULL;
    uint8_t *rest;
    size_t n_rest;
    struct transport_socket socket = conn_release(&arrival->conn, &rest, &n_rest);
    free(rest); /* an arrival takes all its bytes: there is none */
    leave(arrival);
    return socket;
}

static void try_body(struct arrival *arrival)
{
    if (arrival->bytes.len - arrival->head.len < arrival->body_len)
        return;
    void (*on_body)(struct arrival *, struct span) = arrival->on_body;
    arrival->on_body = NULL;
    arrival->is_answered = true; /* it will be, and nothing more is read */
    on_body(arrival, (struct span){arrival->bytes.bytes + arrival->head.len, arrival->body_len});
}

static void refuse_head(struct arrival *arrival)
{
    const struct http_head *head = &arrival->head;
    char detail[160];
    snprintf(detail, sizeof detail, "%s: --max-head allows %u bytes and %u fields", head->detail,
             head->max_bytes, head->max_fields);
    arrival_refuse(arrival, head->error, head->error == ERR_HEAD_TOO_LARGE ? detail : head->detail,
                   NULL, NULL);
}

static void serve(struct arrival *arrival)
{
    admit(arrival);
    if (!arrival->is_gone && !arrival->is_answered && arrival->on_body != NULL)
        try_body(arrival);
}

static void try_head(struct arrival *arrival)
{
    switch (http_head_parse(&arrival->head, arrival->bytes.bytes, arrival->bytes.len)) {
    case HTTP_HEAD_MORE:
        break;
    case HTTP_HEAD_BAD:
        refuse_head(arrival);
        break;
    case HTTP_HEAD_DONE:
        if (source_is_untold(arrival->source))
            source_tell_by_head(arrival->source, &arrival->head, arrival->bytes.bytes);
        serve(arrival);
        break;
    }
}

/* ---- the next request ---- */

static void move_to(struct arrival *arrival, struct list *list)
{
    list_remove(&arrival->link);
    list_append(list, &arrival->link);
}

/* What was answered is over. */
static void forget_request(struct arrival *arrival)
{
    size_t len = arrival->head.len + arrival->body_len;
    size_t here = len < arrival->bytes.len ? len : arrival->bytes.len;
    arrival->n_skipped = len - here;
    buf_consume(&arrival->bytes, here);
    if (arrival->bytes.len == 0)
        buf_clear(&arrival->bytes);
    http_head_init(&arrival->head, arrival->head.max_bytes, arrival->fields,
                   arrival->head.max_fields);
    arrival->is_waiting = arrival->is_answered = arrival->is_readable = false;
    arrival->is_kept = arrival->may_be_kept = false;
    source_next(arrival->source);
}

static bool has_room_to_read(const struct arrival *arrival)
{
    return arrival->bytes.max - arrival->bytes.len >= TRANSPORT_ROOM_BYTES;
}

static void rest(struct arrival *arrival)
{
    source_rest(arrival->source);
    move_to(arrival, &arrival->all->resting);
    arrival_begin_to_linger(arrival, HTTP_KEEP_S * 1000);
}

static void begin_next(struct arrival *arrival)
{
    forget_request(arrival);
    if (has_room_to_read(arrival))
        conn_resume(&arrival->conn);
    if (arrival->bytes.len == 0 && arrival->n_skipped == 0) {
        rest(arrival);
        return;
    }
    arrival_set_timer(arrival, arrival_node(arrival)->options->head_timeout);
    if (arrival->bytes.len > 0)
        try_head(arrival);
}

static void on_next(struct letter *letter)
{
    struct arrival *arrival = CONTAINER_OF(letter, struct arrival, next);
    if (!arrival->is_gone && !atomic_load(&arrival_node(arrival)->is_stopping))
        begin_next(arrival);
    arrival_unpin(arrival);
}

/* It has rested, and something comes. false: its address has too many connections now, and it is
 * refused. */
static bool wake(struct arrival *arrival)
{
    arrival->is_lingering = false;
    atomic_fetch_sub(&arrival_node(arrival)->n_lingering, 1);
    move_to(arrival, &arrival->all->open);
    arrival_set_timer(arrival, arrival_node(arrival)->options->head_timeout);
    enum err error = source_wake(arrival->source);
    if (error != ERR_OK)
        arrival_refuse(arrival, error, NULL, NULL, NULL);
    return error == ERR_OK;
}

/* ---- the socket ---- */

/* A body that is not read passes by. false: that was all of it. */
static bool skip_body(struct arrival *arrival, uint8_t **bytes, size_t *len)
{
    size_t skipped = arrival->n_skipped < *len ? arrival->n_skipped : *len;
    arrival->n_skipped -= skipped;
    *bytes += skipped;
    *len -= skipped;
    if (*len == 0 && arrival->n_skipped == 0)
        rest(arrival);
    return *len > 0;
}

static void take_bytes(struct arrival *arrival, const uint8_t *bytes, size_t len)
{
    if (buf_append(&arrival->bytes, bytes, len) != ERR_OK) {
        arrival_finish(arrival); /* out of memory */
        return;
    }
    if (arrival->is_waiting || arrival->is_answered) {
        if (!has_room_to_read(arrival))
            conn_pause(&arrival->conn);
    } else if (arrival->on_body != NULL) {
        try_body(arrival);
    } else {
        try_head(arrival);
    }
}

static size_t on_bytes(struct conn *conn, uint8_t *bytes, size_t len)
{
    struct arrival *arrival = CONTAINER_OF(conn, struct arrival, conn);
    size_t n_taken = len;
    if (arrival->is_answered && !arrival->is_kept)
        return len;
    if (arrival->is_put_off) { /* its turn has come; nothing was read meanwhile */
        arrival->is_put_off = false;
        serve(arrival);
        return 0;
    }
    if (len == 0) /* it is read again from now on */
        return 0;
    if (arrival->is_lingering && !wake(arrival))
        return len;
    if (skip_body(arrival, &bytes, &len))
        take_bytes(arrival, bytes, len);
    return n_taken;
}

/* An arrival writes nothing but its answer. */
static void on_drained(struct conn *conn)
{
    struct arrival *arrival = CONTAINER_OF(conn, struct arrival, conn);
    if (!arrival->is_kept) {
        move_to(arrival, &arrival->all->written);
    } else if (arrival->bytes.len <= arrival->head.len + arrival->body_len) {
        begin_next(arrival);
    } else {
        arrival->pins++;
        arrival->next.deliver = on_next;
        mailbox_post(worker_mailbox(arrival_worker(arrival)), &arrival->next);
    }
}

static void on_gone(struct conn *conn, bool is_clean)
{
    (void)is_clean;
    arrival_finish(CONTAINER_OF(conn, struct arrival, conn));
}

static struct ip address(const struct conn *conn)
{
    const struct arrival *arrival = CONTAINER_OF(conn, const struct arrival, conn);
    return source_of_work(arrival->source, conn->watch.fd);
}

static const struct conn_ops ops = {
    .on_bytes = on_bytes, .on_drained = on_drained, .on_gone = on_gone, .address = address};

/* How one is refused depends on what it asks for, so whoever put it off is asked again. */
static void refuse_late(struct arrival *arrival)
{
    arrival->is_put_off = false;
    arrival->is_late = true;
    serve(arrival);
}

static void on_timer(struct timer *timer)
{
    struct arrival *arrival = CONTAINER_OF(timer, struct arrival, timer);
    arrival->may_be_kept = false;
    if (arrival->is_answered || arrival->is_lingering || conn_is_shaking(&arrival->conn) ||
        arrival->n_skipped > 0) /* the request whose body is not over was answered */
        arrival_finish(arrival);
    else if (arrival->is_waiting)
        arrival_refuse(arrival, ERR_STORE_UNAVAILABLE, NULL, NULL, NULL);
    else if (arrival->is_put_off)
        refuse_late(arrival);
    else
        arrival_refuse(arrival, ERR_HEAD_TIMEOUT, NULL, NULL, NULL);
}

static enum err accept_socket(struct arrival *arrival, struct worker *worker, int fd,
                              const struct ip *from)
{
    struct transport_socket socket = {fd, &transport_plain};
    struct tls_context *tls = worker->node->tls;
    enum err error = tls == NULL ? ERR_OK : tls_new(tls, &socket.transport);
    if (error != ERR_OK)
        return error;
    error = conn_accept(&arrival->conn, &worker->loop, &ops, socket, from);
    if (error != ERR_OK)
        socket.transport->ops->free(socket.transport);
    return error;
}

enum err arrival_new(struct worker *worker, int fd, struct source *source, const struct ip *from,
                     int64_t due_ms, struct arrivals *all)
{
    size_t max_bytes = (size_t)worker->node->options->max_head;
    size_t max_fields = max_bytes / HTTP_HEAD_FIELD_BYTES;
    struct arrival *arrival = calloc(1, sizeof *arrival + max_fields * sizeof arrival->fields[0]);
    if (arrival == NULL)
        return ERR_NO_MEMORY;
    enum err error = accept_socket(arrival, worker, fd, from);
    if (error != ERR_OK) {
        free(arrival);
        return error;
    }
    arrival->source = source;
    buf_init(&arrival->bytes, max_bytes + BEHIND_MAX_BYTES);
    http_head_init(&arrival->head, max_bytes, arrival->fields, max_fields);
    arrival->all = all;
    list_append(&all->open, &arrival->link);
    timer_init(&arrival->timer, on_timer);
    timer_set(reactor_timers(worker->reactor), &arrival->timer, due_ms);
    return ERR_OK;
}

void arrivals_init(struct arrivals *arrivals)
{
    list_init(&arrivals->open);
    list_init(&arrivals->written);
    list_init(&arrivals->resting);
}

static bool drop_first(struct list *list)
{
    if (list_is_empty(list))
        return false;
    arrival_finish(CONTAINER_OF(list->next, struct arrival, link));
    return true;
}

bool arrivals_make_room(struct arrivals *all)
{
    return drop_first(&all->written) || drop_first(&all->resting);
}

void arrivals_drop_resting(struct arrivals *all)
{
    drop_first(&all->resting);
}

void arrivals_drop_unfinished(struct arrivals *all)
{
    LIST_FOR_EACH_SAFE(link, &all->open)
    {
        struct arrival *arrival = CONTAINER_OF(link, struct arrival, link);
        if (arrival->is_put_off)
            refuse_late(arrival);
        else if (!arrival->is_answered && !arrival->is_waiting)
            arrival_finish(arrival);
    }
    while (drop_first(&all->resting)) {
    }
}

void arrivals_drop_all(struct arrivals *all)
{
    while (drop_first(&all->open) || arrivals_make_room(all)) {
    }
}
