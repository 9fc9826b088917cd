/* The order of CONTRACT 2: is it for us at all (403), the path (404), the method (405), is it a
 * WebSocket handshake (426, 400), the query (400), is there room (503). Then the socket leaves for
 * the home worker of the user, where a session takes it over. An event stream that is refused for a
 * reason that passes gets a 200 that tells when to come again, and ends, because EventSource gives
 * up on everything else. */
#include "gateway/admit.h"

#include "gateway/ack_request.h"
#include "gateway/base/listener.h"
#include "gateway/base/metrics.h"
#include "gateway/delivery.h"
#include "gateway/http_answer.h"
#include "gateway/kicks.h"
#include "proto/authority.h"
#include "proto/extensions.h"
#include "proto/sse.h"
#include "proto/subscribe_query.h"

#include <stdio.h>
#include <stdlib.h>

/* A socket on its way to its home worker. */
struct move {
    struct letter letter;
    struct worker *home;
    struct admission admission;
    struct subscribe_query query; /* the admission's device lies in it */
    uint8_t bytes[];              /* the User-Agent, the origin, the early bytes */
};

static struct node *node_of(struct arrival *arrival)
{
    return arrival_worker(arrival)->node;
}

static bool find_field(struct arrival *arrival, const char *name, struct span *ret_value)
{
    return http_head_find(arrival_head(arrival), arrival_bytes(arrival).bytes, name, ret_value);
}

static struct span part_of(struct arrival *arrival, struct http_part part)
{
    return http_part_span(arrival_bytes(arrival).bytes, part);
}

/* ---- on the home worker: the socket becomes a session ---- */

static void drop(struct move *move)
{
    transport_close(move->admission.socket);
    atomic_fetch_sub(&move->home->node->n_sockets, 1);
    atomic_fetch_sub(&move->home->node->n_sessions, 1);
}

/* Kicked event streams come back by themselves: 204 makes them stop. */
static bool is_kicked(struct move *move)
{
    struct span user_id = {move->query.user_id, move->query.user_id_len};
    if (move->admission.level != LEVEL_SSE || epoch_is_none(move->admission.resume.epoch) ||
        !kicks_take(move->home, user_id))
        return false;
    struct buf answer;
    buf_init(&answer, HTTP_HEAD_MAX_BYTES + 1024);
    /* The socket buffer is empty, and this is short: it goes out at once or not at all. */
    if (http_answer(&answer, 204, NULL, NULL, move->admission.origin, (struct span){0}) == ERR_OK)
        transport_say(move->admission.socket, answer.bytes, answer.len);
    buf_fini(&answer);
    drop(move);
    return true;
}

static void open_session(struct move *move)
{
    struct worker *home = move->home;
    struct session *session;
    if (is_kicked(move))
        return;
    if (atomic_load(&home->node->is_stopping) ||
        session_new(home, &move->admission, &session) != ERR_OK) {
        drop(move);
        return;
    }
    struct span user_id = {move->query.user_id, move->query.user_id_len};
    if (delivery_enter(session, user_id, move->admission.device) != ERR_OK) {
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

/* ---- on the arrival's worker ---- */

/* One place among max_connections. */
static bool take_place(struct node *node)
{
    unsigned before = atomic_fetch_add(&node->n_sessions, 1);
    if (before < node->max_connections)
        return true;
    atomic_fetch_sub(&node->n_sessions, 1);
    return false;
}

static uint8_t *put(uint8_t *at, struct span bytes)
{
    if (bytes.len > 0)
        memcpy(at, bytes.bytes, bytes.len);
    return at + bytes.len;
}

static struct move *move_new(struct arrival *arrival, struct span origin)
{
    struct span bytes = arrival_bytes(arrival);
    size_t head_len = arrival_head(arrival)->len;
    struct span early = {bytes.bytes + head_len, bytes.len - head_len};
    struct span agent = {0};
    find_field(arrival, "User-Agent", &agent);
    struct move *move = calloc(1, sizeof *move + agent.len + origin.len + early.len);
    if (move == NULL)
        return NULL;
    struct admission *admission = &move->admission;
    uint8_t *at = put(move->bytes, agent);
    admission->user_agent = (struct span){(const char *)move->bytes, agent.len};
    admission->origin = (struct span){(const char *)at, origin.len};
    at = put(at, origin);
    admission->early = at;
    admission->n_early = early.len;
    put(at, early);
    return move;
}

static void send_home(struct arrival *arrival, struct move *move)
{
    struct worker *here = arrival_worker(arrival);
    struct node *node = here->node;
    struct span user_id = {move->query.user_id, move->query.user_id_len};
    move->admission.socket = arrival_release(arrival);
    move->home = node->workers[client_map_home(node->map, user_id)];
    move->letter.deliver = on_move;
    if (move->home == here)
        on_move(&move->letter);
    else
        mailbox_post(worker_mailbox(move->home), &move->letter);
}

static bool read_query(struct arrival *arrival, struct move *move)
{
    const char *field;
    const char *detail;
    struct admission *admission = &move->admission;
    struct subscribe_query *query = &move->query;
    if (subscribe_query_parse(part_of(arrival, arrival_head(arrival)->query), query, &field,
                              &detail) != ERR_OK) {
        arrival_refuse(arrival, ERR_INVALID_FIELD, detail, field, NULL);
        return false;
    }
    admission->device = (struct span){query->device, query->device_len};
    admission->is_explicit = query->is_ack_explicit;
    if (query->has_after)
        admission->resume = (struct resume){query->after_epoch, query->after_seq};
    return true;
}

/* Room among the connections; *ret_error says why there is none. */
static bool is_room(struct node *node, enum err *ret_error)
{
    *ret_error = ERR_DRAINING;
    if (atomic_load(&node->is_draining))
        return false;
    *ret_error = ERR_FULL;
    return take_place(node);
}

/* Is it a WebSocket handshake, and what do both sides speak? */
static enum err shake_hands(struct arrival *arrival, struct admission *admission,
                            const char **ret_detail)
{
    const struct http_head *head = arrival_head(arrival);
    const char *bytes = arrival_bytes(arrival).bytes;
    enum err error = handshake_check(head, bytes, &admission->level, admission->accept, ret_detail);
    if (error == ERR_OK && node_of(arrival)->options->compress)
        error = extensions_choose(head, bytes, &admission->deflate, ret_detail);
    return error;
}

static void upgrade(struct arrival *arrival)
{
    const char *detail = NULL;
    struct move *move = move_new(arrival, (struct span){0});
    if (move == NULL) {
        arrival_refuse(arrival, ERR_NO_MEMORY, NULL, NULL, NULL);
        return;
    }
    enum err error = shake_hands(arrival, &move->admission, &detail);
    if (error != ERR_OK)
        arrival_refuse(arrival, error, detail, NULL, NULL);
    else if (!read_query(arrival, move))
        error = ERR_INVALID_FIELD;
    else if (!is_room(node_of(arrival), &error))
        arrival_refuse(arrival, error, error == ERR_FULL ? "too many connections" : NULL, NULL,
                       NULL);
    else
        error = ERR_OK;
    if (error != ERR_OK) {
        free(move);
        return;
    }
    send_home(arrival, move);
}

/* ---- event streams ---- */

/* A 200 that says when to come again, and ends. */
static void put_off(struct arrival *arrival, struct span origin)
{
    struct buf answer;
    uint32_t retry_ms = 1000 + (uint32_t)(worker_random(arrival_worker(arrival)) % 10000);
    buf_init(&answer, HTTP_HEAD_MAX_BYTES + 1024);
    metrics_count(METRIC_REFUSED_503);
    if (http_stream_head(&answer, origin) == ERR_OK && sse_retry(&answer, retry_ms) == ERR_OK)
        arrival_answer_raw(arrival, &answer);
    else
        arrival_refuse(arrival, ERR_NO_MEMORY, NULL, NULL, NULL);
    buf_fini(&answer);
}

/* What EventSource remembers outranks what the page wrote into the address. */
static bool read_last_event_id(struct arrival *arrival, struct resume *resume)
{
    struct span id;
    if (!find_field(arrival, "Last-Event-ID", &id) || id.len == 0)
        return true;
    if (message_position_parse(id, &resume->epoch, &resume->seq) == ERR_OK)
        return true;
    arrival_refuse(arrival, ERR_INVALID_FIELD, "Last-Event-ID must be EPOCH-SEQ", "Last-Event-ID",
                   NULL);
    return false;
}

static void open_stream(struct arrival *arrival, struct span origin)
{
    enum err error;
    const char *detail;
    if (handshake_check_no_body(arrival_head(arrival), arrival_bytes(arrival).bytes, &detail) !=
        ERR_OK) {
        arrival_refuse(arrival, ERR_BAD_HEAD, detail, NULL, NULL);
        return;
    }
    struct move *move = move_new(arrival, origin);
    if (move == NULL) {
        arrival_refuse(arrival, ERR_NO_MEMORY, NULL, NULL, NULL);
        return;
    }
    move->admission.level = LEVEL_SSE;
    move->admission.n_early = 0;
    if (!read_query(arrival, move) || !read_last_event_id(arrival, &move->admission.resume)) {
        free(move);
    } else if (!is_room(node_of(arrival), &error)) {
        put_off(arrival, origin);
        free(move);
    } else {
        send_home(arrival, move);
    }
}

/* ---- who may come in ---- */

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
    const struct http_head *head = arrival_head(arrival);
    const char *bytes = arrival_bytes(arrival).bytes;
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

/* ---- paths ---- */

static void serve_ws(struct arrival *arrival, struct span method, struct span origin)
{
    (void)origin; /* a WebSocket has no CORS: its Origin was checked */
    if (span_equal(method, SPAN_LITERAL("GET")))
        upgrade(arrival);
    else
        arrival_refuse(arrival, ERR_METHOD_NOT_ALLOWED, NULL, NULL, "GET");
}

/* What a page asks before it sends what a form could not (the Fetch standard's preflight). */
static void answer_options(struct arrival *arrival, const char *methods)
{
    char headers[200];
    snprintf(headers, sizeof headers,
             "Allow: %s\r\n"
             "Access-Control-Allow-Methods: %s\r\n"
             "Access-Control-Allow-Headers: Authorization, Content-Type, Last-Event-ID\r\n"
             "Access-Control-Max-Age: 600\r\n",
             methods, methods);
    arrival_answer(arrival, 204, NULL, headers, (struct span){0});
}

static void serve_sse(struct arrival *arrival, struct span method, struct span origin)
{
    arrival_let_read(arrival, origin);
    if (span_equal(method, SPAN_LITERAL("GET")))
        open_stream(arrival, origin);
    else if (span_equal(method, SPAN_LITERAL("OPTIONS")))
        answer_options(arrival, "GET, OPTIONS");
    else
        arrival_refuse(arrival, ERR_METHOD_NOT_ALLOWED, NULL, NULL, "GET, OPTIONS");
}

static void serve_ack(struct arrival *arrival, struct span method, struct span origin)
{
    arrival_let_read(arrival, origin);
    if (span_equal(method, SPAN_LITERAL("POST")))
        ack_request(arrival);
    else if (span_equal(method, SPAN_LITERAL("OPTIONS")))
        answer_options(arrival, "POST, OPTIONS");
    else
        arrival_refuse(arrival, ERR_METHOD_NOT_ALLOWED, NULL, NULL, "POST, OPTIONS");
}

static const struct {
    const char *path;
    void (*serve)(struct arrival *arrival, struct span method, struct span origin);
} paths[] = {
    {"/ws", serve_ws},
    {"/getPushNews", serve_ws},
    {"/sse", serve_sse},
    {"/ack", serve_ack},
};

void admit(struct arrival *arrival)
{
    const struct http_head *head = arrival_head(arrival);
    const char *forbidden = why_forbidden(arrival);
    if (forbidden != NULL) {
        arrival_refuse(arrival, ERR_FORBIDDEN, forbidden, NULL, NULL);
        return;
    }
    struct node *node = node_of(arrival);
    if (node->serve_more != NULL && node->serve_more(arrival, head, arrival_bytes(arrival).bytes))
        return;
    struct span origin = {0};
    find_field(arrival, "Origin", &origin);
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        if (span_equal(part_of(arrival, head->path), span_of(paths[i].path))) {
            paths[i].serve(arrival, part_of(arrival, head->method), origin);
            return;
        }
    }
    arrival_refuse(arrival, ERR_NOT_FOUND,
                   "WebSockets are at /ws?userId=ID, event streams at /sse?userId=ID; pushes go to "
                   "--admin-listen",
                   NULL, NULL);
}
