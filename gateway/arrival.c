/* An arrival collects its head (proto/http_head.c), at most 8 KiB within --head-timeout. A complete
 * head is looked at in the order of CONTRACT 2: is it for us at all (403), the path (404), the
 * method (405), is it a WebSocket handshake (426, 400), the userId (400), is there room (503). Then
 * the socket leaves for the home worker of the user, where a session takes it over.
 *
 * A refusal is written, the sending side is shut down, and the socket closed when the peer has gone
 * or after a second: closing at once could destroy the answer on its way. */
#include "gateway/arrival.h"

#include "gateway/base/listener.h"
#include "gateway/base/metrics.h"
#include "gateway/delivery.h"
#include "gateway/http_answer.h"
#include "proto/authority.h"

#include <stdlib.h>
#include <unistd.h>

enum { LINGER_MS = 1000 };

struct arrival {
    struct conn conn;
    struct list link; /* in the front's list */
    struct timer timer;
    struct grave grave;
    struct buf bytes; /* the head, and what came behind it */
    struct http_head head;
    size_t body_len;
    void (*on_body)(struct arrival *arrival, struct span body);
    unsigned pins;
    bool is_answered; /* what comes in is no longer looked at */
    bool is_gone;     /* the socket is closed */
};

/* A socket on its way to its home worker. */
struct move {
    struct letter letter;
    struct worker *home;
    struct admission admission;
    char user_id[USER_ID_MAX_BYTES];
    size_t user_id_len;
    size_t n_user_agent;
    uint8_t bytes[]; /* the User-Agent, then the early bytes */
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
    conn_abandon(&arrival->conn);
    atomic_fetch_sub(&node_of(arrival)->n_sockets, 1);
    leave(arrival);
}

void arrival_pin(struct arrival *arrival)
{
    arrival->pins++;
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

static void send_answer(struct arrival *arrival, const struct buf *answer)
{
    arrival->is_answered = true;
    if (conn_write_bytes(&arrival->conn, answer->bytes, answer->len) != ERR_OK) {
        finish(arrival);
        return;
    }
    conn_shutdown(&arrival->conn);
    struct worker *worker = arrival_worker(arrival);
    timer_set(reactor_timers(worker->reactor), &arrival->timer, worker_now_ms(worker) + LINGER_MS);
}

void arrival_answer(struct arrival *arrival, unsigned status, const char *content_type,
                    struct span body)
{
    struct buf answer;
    buf_init(&answer, body.len + 1024);
    if (http_answer(&answer, status, content_type, NULL, body) == ERR_OK)
        send_answer(arrival, &answer);
    else
        finish(arrival);
    buf_fini(&answer);
}

static enum metric refusal_metric(unsigned status)
{
    switch (status) {
    case 400:
        return METRIC_REFUSED_400;
    case 403:
        return METRIC_REFUSED_403;
    case 404:
        return METRIC_REFUSED_404;
    case 405:
        return METRIC_REFUSED_405;
    case 408:
        return METRIC_REFUSED_408;
    case 426:
        return METRIC_REFUSED_426;
    case 431:
        return METRIC_REFUSED_431;
    case 503:
        return METRIC_REFUSED_503;
    default:
        return METRIC_REFUSED_OTHER;
    }
}

void arrival_refuse(struct arrival *arrival, enum err error, const char *detail, const char *field,
                    const char *allow)
{
    struct buf answer;
    buf_init(&answer, 4096);
    metrics_count(refusal_metric(error_http_status(error)));
    if (http_refusal(&answer, error, detail, field, allow,
                     worker_random(arrival_worker(arrival))) == ERR_OK)
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

/* The last step, on the home worker: the socket becomes a session. */
static void open_session(struct move *move)
{
    struct worker *home = move->home;
    struct session *session;
    if (atomic_load(&home->node->is_stopping) ||
        session_new(home, &move->admission, &session) != ERR_OK) {
        close(move->admission.fd);
        atomic_fetch_sub(&home->node->n_sockets, 1);
        atomic_fetch_sub(&home->node->n_sessions, 1);
        return;
    }
    struct span user_id = {move->user_id, move->user_id_len};
    if (delivery_enter(session, user_id) != ERR_OK) {
        session_close(session, ERR_NO_MEMORY, SPAN_LITERAL("full"), 0);
        return;
    }
    if (atomic_load(&home->node->is_draining))
        session_drain(session); /* it was on its way when the drain began */
    if (move->admission.n_early > 0)
        conn_feed(&session->conn, move->admission.early, move->admission.n_early);
}

static void on_move(struct letter *letter)
{
    struct move *move = CONTAINER_OF(letter, struct move, letter);
    open_session(move);
    free(move);
}

/* One place among max_connections. */
static bool take_place(struct node *node)
{
    unsigned before = atomic_fetch_add(&node->n_sessions, 1);
    if (before < node->max_connections)
        return true;
    atomic_fetch_sub(&node->n_sessions, 1);
    return false;
}

static struct move *move_new(struct arrival *arrival)
{
    const char *bytes = arrival->bytes.bytes;
    struct span agent = {0};
    http_head_find(&arrival->head, bytes, "User-Agent", &agent);
    size_t n_early = arrival->bytes.len - arrival->head.len;
    struct move *move = calloc(1, sizeof *move + agent.len + n_early);
    if (move == NULL)
        return NULL;
    if (agent.len > 0)
        memcpy(move->bytes, agent.bytes, agent.len);
    if (n_early > 0)
        memcpy(move->bytes + agent.len, bytes + arrival->head.len, n_early);
    move->admission.user_agent = (struct span){(const char *)move->bytes, agent.len};
    move->admission.early = move->bytes + agent.len;
    move->admission.n_early = n_early;
    return move;
}

static void send_home(struct arrival *arrival, struct move *move)
{
    struct worker *here = arrival_worker(arrival);
    struct node *node = here->node;
    uint8_t *rest;
    size_t n_rest;
    move->admission.fd = conn_release(&arrival->conn, &rest, &n_rest);
    free(rest); /* an arrival takes all its bytes: there is none */
    leave(arrival);

    struct span user_id = {move->user_id, move->user_id_len};
    move->home = node->workers[client_map_home(node->map, user_id)];
    move->letter.deliver = on_move;
    if (move->home == here)
        on_move(&move->letter);
    else
        mailbox_post(worker_mailbox(move->home), &move->letter);
}

static void upgrade(struct arrival *arrival)
{
    const struct http_head *head = &arrival->head;
    const char *bytes = arrival->bytes.bytes;
    const char *detail = NULL;
    struct move *move = move_new(arrival);
    if (move == NULL) {
        arrival_refuse(arrival, ERR_NO_MEMORY, NULL, NULL, NULL);
        return;
    }
    enum err error =
        handshake_check(head, bytes, &move->admission.level, move->admission.accept, &detail);
    if (error != ERR_OK) {
        arrival_refuse(arrival, error, detail, NULL, NULL);
        goto out;
    }
    error = query_user_id(http_part_span(bytes, head->query), move->user_id, &move->user_id_len,
                          &detail);
    if (error != ERR_OK) {
        arrival_refuse(arrival, error, detail, "userId", NULL);
        goto out;
    }
    if (atomic_load(&node_of(arrival)->is_draining)) {
        arrival_refuse(arrival, ERR_DRAINING, NULL, NULL, NULL);
        goto out;
    }
    if (!take_place(node_of(arrival))) {
        arrival_refuse(arrival, ERR_FULL, "too many connections", NULL, NULL);
        goto out;
    }
    send_home(arrival, move);
    return;
out:
    free(move);
}

static bool is_origin_welcome(const struct options *options, struct span origin, struct span host)
{
    const struct option_list *allowed = &options->allowed_origin;
    bool is_welcome = origin_is_host(origin, host);
    for (size_t i = 0; i < allowed->n && !is_welcome; i++)
        is_welcome = origin_is_allowed(origin, span_of(allowed->values[i]));
    return is_welcome;
}

/* With --auth none a request from a proxy or from a rebinding page is not this machine's
 * developer's (CONTRACT section 1); a foreign Origin is never taken (section 2). */
static const char *why_forbidden(struct arrival *arrival)
{
    const struct options *options = node_of(arrival)->options;
    const struct http_head *head = &arrival->head;
    const char *bytes = arrival->bytes.bytes;
    struct span host = {0};
    struct span origin;
    http_head_find(head, bytes, "Host", &host);
    struct listen_address address;
    bool is_unix = listen_address_parse(options->listen, &address) == ERR_OK && address.is_unix;
    if (!options->insecure && !is_unix) {
        static const char *const proxied[] = {"Forwarded", "X-Forwarded-For", "X-Forwarded-Host",
                                              "X-Forwarded-Proto"};
        for (size_t i = 0; i < sizeof proxied / sizeof proxied[0]; i++) {
            if (http_head_count(head, bytes, proxied[i]) > 0)
                return "with --auth none a proxied request is refused";
        }
        if (!authority_is_loopback(host))
            return "with --auth none the Host must be a loopback name or address";
    }
    if (http_head_find(head, bytes, "Origin", &origin) && !is_origin_welcome(options, origin, host))
        return "the Origin is not allowed";
    return NULL;
}

static void on_head(struct arrival *arrival)
{
    const struct http_head *head = &arrival->head;
    const char *bytes = arrival->bytes.bytes;
    const char *forbidden = why_forbidden(arrival);
    if (forbidden != NULL) {
        arrival_refuse(arrival, ERR_FORBIDDEN, forbidden, NULL, NULL);
        return;
    }
    struct node *node = node_of(arrival);
    if (node->serve_more != NULL && node->serve_more(arrival, head, bytes))
        return;
    struct span path = http_part_span(bytes, head->path);
    if (!span_equal(path, SPAN_LITERAL("/ws")) && !span_equal(path, SPAN_LITERAL("/getPushNews"))) {
        arrival_refuse(arrival, ERR_NOT_FOUND, "WebSockets are at /ws?userId=ID", NULL, NULL);
        return;
    }
    if (!span_equal(http_part_span(bytes, head->method), SPAN_LITERAL("GET"))) {
        arrival_refuse(arrival, ERR_METHOD_NOT_ALLOWED, NULL, NULL, "GET");
        return;
    }
    upgrade(arrival);
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

static void try_head(struct arrival *arrival)
{
    switch (http_head_parse(&arrival->head, arrival->bytes.bytes, arrival->bytes.len)) {
    case HTTP_HEAD_MORE:
        break;
    case HTTP_HEAD_BAD:
        arrival_refuse(arrival, arrival->head.error, arrival->head.detail, NULL, NULL);
        break;
    case HTTP_HEAD_DONE:
        on_head(arrival);
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
        arrival_refuse(arrival, ERR_HEAD_TOO_LARGE, NULL, NULL, NULL);
        return len;
    }
    if (arrival->on_body != NULL)
        try_body(arrival);
    else
        try_head(arrival);
    return len;
}

static void on_gone(struct conn *conn, bool is_clean)
{
    (void)is_clean;
    finish(CONTAINER_OF(conn, struct arrival, conn));
}

static const struct conn_ops ops = {.on_bytes = on_bytes, .on_gone = on_gone};

static void on_timer(struct timer *timer)
{
    struct arrival *arrival = CONTAINER_OF(timer, struct arrival, timer);
    if (arrival->is_answered)
        finish(arrival);
    else
        arrival_refuse(arrival, ERR_HEAD_TIMEOUT, NULL, NULL, NULL);
}

enum err arrival_new(struct worker *worker, int fd, struct list *all)
{
    struct arrival *arrival = calloc(1, sizeof *arrival);
    if (arrival == NULL)
        return ERR_NO_MEMORY;
    enum err error = conn_open(&arrival->conn, &worker->loop, &ops, fd);
    if (error != ERR_OK) {
        free(arrival);
        return error;
    }
    buf_init(&arrival->bytes, HTTP_HEAD_MAX_BYTES + CONN_READ_BYTES);
    http_head_init(&arrival->head);
    list_append(all, &arrival->link);
    timer_init(&arrival->timer, on_timer);
    timer_set(reactor_timers(worker->reactor), &arrival->timer,
              worker_now_ms(worker) + worker->node->options->head_timeout);
    return ERR_OK;
}

void arrival_drop_unfinished(struct list *all)
{
    LIST_FOR_EACH_SAFE(link, all)
    {
        struct arrival *arrival = CONTAINER_OF(link, struct arrival, link);
        if (!arrival->is_answered)
            finish(arrival);
    }
}

void arrival_drop_all(struct list *all)
{
    while (!list_is_empty(all))
        finish(CONTAINER_OF(all->next, struct arrival, link));
}
