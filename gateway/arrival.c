/* An arrival collects its head (proto/http_head.c), at most --max-head within --head-timeout (the
 * TLS handshake included), and hands it to admit.c.
 *
 * A refusal is written, the sending side is shut down, and the socket closed when the peer has gone
 * or after a second: closing at once could destroy the answer on its way. */
#include "gateway/arrival.h"

#include "gateway/admit.h"
#include "gateway/base/listener.h"
#include "gateway/base/log.h"
#include "gateway/http_answer.h"
#include "gateway/net/tls.h"
#include "gateway/refused.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LINGER_MS = 1000 };

struct arrival {
    struct conn conn;
    struct source *source;
    struct arrivals *all; /* the front's */
    struct list link;     /* in one of their lists */
    struct timer timer;
    struct grave grave;
    struct buf bytes; /* the head, and what came behind it */
    struct http_head head;
    struct span reader; /* the origin that may read the answer, inside `bytes` */
    size_t body_len;
    void (*on_body)(struct arrival *arrival, struct span body);
    unsigned pins;
    bool is_waiting;            /* the head is complete, and somebody is asked about it */
    bool is_answered;           /* what comes in is no longer looked at */
    bool is_lingering;          /* the answer is written */
    bool is_gone;               /* the socket is closed */
    struct http_field fields[]; /* of the head */
};

struct worker *arrival_worker(struct arrival *arrival)
{
    return CONTAINER_OF(arrival->conn.loop, struct worker, loop);
}

static struct node *node_of(struct arrival *arrival)
{
    return arrival_worker(arrival)->node;
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

static void finish(struct arrival *arrival)
{
    if (arrival->is_lingering)
        atomic_fetch_sub(&node_of(arrival)->n_lingering, 1);
    source_leave(arrival->source);
    arrival->source = NULL;
    conn_abandon(&arrival->conn);
    atomic_fetch_sub(&node_of(arrival)->n_sockets, 1);
    leave(arrival);
}

void arrival_pin(struct arrival *arrival)
{
    arrival->pins++;
    timer_cancel(reactor_timers(arrival_worker(arrival)->reactor), &arrival->timer);
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

/* To HEAD the same is said without the body (RFC 9110, 9.3.2). */
static size_t answer_len(const struct arrival *arrival, const struct buf *answer)
{
    struct span method = http_part_span(arrival->bytes.bytes, arrival->head.method);
    if (!span_equal(method, SPAN_LITERAL("HEAD")))
        return answer->len;
    const char *end = memmem(answer->bytes, answer->len, "\r\n\r\n", 4);
    return end == NULL ? answer->len : (size_t)(end - answer->bytes) + 4;
}

static void send_answer(struct arrival *arrival, const struct buf *answer)
{
    arrival->is_answered = true;
    size_t len = answer_len(arrival, answer);
    if (conn_write_bytes(&arrival->conn, answer->bytes, len) != ERR_OK) {
        finish(arrival);
        return;
    }
    conn_shutdown(&arrival->conn);
    arrival->is_lingering = true;
    atomic_fetch_add(&node_of(arrival)->n_lingering, 1);
    source_leave(arrival->source); /* one that is over counts no more for its address */
    arrival->source = NULL;
    struct worker *worker = arrival_worker(arrival);
    timer_set(reactor_timers(worker->reactor), &arrival->timer, worker_now_ms(worker) + LINGER_MS);
}

void arrival_answer(struct arrival *arrival, unsigned status, const char *content_type,
                    const char *headers, struct span body)
{
    struct buf answer;
    buf_init(&answer, body.len + HTTP_HEAD_MAX_BYTES + 1024);
    if (http_answer(&answer, status, content_type, headers, arrival->reader, body) == ERR_OK)
        send_answer(arrival, &answer);
    else
        finish(arrival);
    buf_fini(&answer);
}

void arrival_answer_raw(struct arrival *arrival, const struct buf *answer)
{
    send_answer(arrival, answer);
}

/* With the requestId of the answer. What the request said is not told: it may be a secret. */
static void log_refusal(enum err error, const char *detail, uint64_t request_id)
{
    char id[HTTP_REQUEST_ID_MAX_BYTES];
    if (!log_is_enabled(LOG_DEBUG))
        return;
    http_request_id(request_id, id);
    log_event(LOG_DEBUG, "request refused", LOG_TEXT("request", id),
              LOG_INT("status", error_http_status(error)),
              LOG_TEXT("why", detail != NULL ? detail : error_title(error)));
}

void arrival_refuse(struct arrival *arrival, enum err error, const char *detail, const char *field,
                    const char *allow)
{
    refused_count(error_http_status(error));
    arrival_problem(arrival, error, detail, field, allow);
}

void arrival_problem(struct arrival *arrival, enum err error, const char *detail, const char *field,
                     const char *allow)
{
    struct buf answer;
    buf_init(&answer, HTTP_HEAD_MAX_BYTES + 4096);
    uint64_t request_id = worker_random(arrival_worker(arrival));
    log_refusal(error, detail, request_id);
    if (http_refusal(&answer, error, detail, field, allow, arrival->reader, request_id) == ERR_OK)
        send_answer(arrival, &answer);
    else
        finish(arrival);
    buf_fini(&answer);
}

void arrival_want_body(struct arrival *arrival, size_t len,
                       void (*on_body)(struct arrival *arrival, struct span body))
{
    arrival->body_len = len;
    arrival->on_body = on_body;
    arrival->bytes.max = arrival->head.len + len;
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

void arrival_let_read(struct arrival *arrival, struct span origin)
{
    arrival->reader = origin;
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
        admit(arrival);
        if (!arrival->is_gone && !arrival->is_answered && arrival->on_body != NULL)
            try_body(arrival);
        break;
    }
}

static size_t on_bytes(struct conn *conn, uint8_t *bytes, size_t len)
{
    struct arrival *arrival = CONTAINER_OF(conn, struct arrival, conn);
    if (arrival->is_answered)
        return len;
    if (buf_append(&arrival->bytes, bytes, len) != ERR_OK) {
        /* The buffer holds a head of the largest size and as much behind it: whoever sends more
         * before he was answered sends no head. */
        arrival_refuse(arrival, ERR_HEAD_TOO_LARGE, "too much came behind the request", NULL, NULL);
        return len;
    }
    if (arrival->is_waiting)
        return len;
    if (arrival->on_body != NULL)
        try_body(arrival);
    else
        try_head(arrival);
    return len;
}

/* An arrival writes nothing but its answer. */
static void on_drained(struct conn *conn)
{
    struct arrival *arrival = CONTAINER_OF(conn, struct arrival, conn);
    list_remove(&arrival->link);
    list_append(&arrival->all->written, &arrival->link);
}

static void on_gone(struct conn *conn, bool is_clean)
{
    (void)is_clean;
    finish(CONTAINER_OF(conn, struct arrival, conn));
}

static const struct conn_ops ops = {
    .on_bytes = on_bytes, .on_drained = on_drained, .on_gone = on_gone};

static void on_timer(struct timer *timer)
{
    struct arrival *arrival = CONTAINER_OF(timer, struct arrival, timer);
    if (arrival->is_answered || conn_is_shaking(&arrival->conn))
        finish(arrival);
    else if (arrival->is_waiting)
        arrival_refuse(arrival, ERR_STORE_UNAVAILABLE, NULL, NULL, NULL);
    else
        arrival_refuse(arrival, ERR_HEAD_TIMEOUT, NULL, NULL, NULL);
}

void arrival_refuse_crowded(const struct node *node, int fd)
{
    static const char answer[] = "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n"
                                 "Retry-After: 5\r\nConnection: close\r\n\r\n";
    if (node->tls == NULL) { /* with TLS it would take a handshake to say so */
        ssize_t sent = send(fd, answer, sizeof answer - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
        (void)sent; /* it is refused either way */
    }
    close(fd);
    refused_count(429);
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
    buf_init(&arrival->bytes, max_bytes + CONN_REST_MAX_BYTES);
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
}

static bool drop_first(struct list *list)
{
    if (list_is_empty(list))
        return false;
    finish(CONTAINER_OF(list->next, struct arrival, link));
    return true;
}

bool arrivals_drop_written(struct arrivals *all)
{
    return drop_first(&all->written);
}

void arrivals_drop_unfinished(struct arrivals *all)
{
    LIST_FOR_EACH_SAFE(link, &all->open)
    {
        struct arrival *arrival = CONTAINER_OF(link, struct arrival, link);
        if (!arrival->is_answered)
            finish(arrival);
    }
}

void arrivals_drop_all(struct arrivals *all)
{
    while (drop_first(&all->open) || drop_first(&all->written)) {
    }
}
