/* A session begins with the 101 in its queue. Each turn its bytes go through the decoder: data
 * messages of a plain client are counted and dropped, pings are answered, a pong that matches the
 * ping under way acknowledges all that was written before it. Notifications are queued by
 * delivery.c and replay.c; when the turn ends and no ping is under way, a ping with the last number
 * rides in the same write.
 *
 * One timer serves three deadlines: the next ping, the silence after which the peer is dead, and
 * the end of a drain. It is not moved when a frame arrives: it fires, looks, and is set again.
 *
 * Closing: the session leaves its client, the close frame goes out, and the socket is closed when
 * the peer's own close frame has come, or the peer has gone, or two seconds are over. */
#include "gateway/session.h"

#include "gateway/base/clock.h"
#include "gateway/base/metrics.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum { LAST_CHANCE_MS = 50, CLOSE_LINGER_MS = 2000, RETRY_SPREAD_MS = 5000 };

static const uint8_t successors[] = {
    [SESSION_REPLAY] = 1u << SESSION_LIVE | 1u << SESSION_CLOSING | 1u << SESSION_CLOSED,
    [SESSION_LIVE] = 1u << SESSION_REPLAY | 1u << SESSION_CLOSING | 1u << SESSION_CLOSED,
    [SESSION_CLOSING] = 1u << SESSION_CLOSED,
    [SESSION_CLOSED] = 0,
};

void session_move(struct session *session, enum session_state state)
{
    assert(successors[session->state] >> state & 1);
    session->state = state & 0xf;
}

/* Milliseconds that wrap after 49 days; only differences are looked at. */
static uint32_t session_clock(const struct session *session)
{
    return (uint32_t)worker_now_ms(session_worker(session));
}

static bool has_come(uint32_t now_ms, uint32_t due_ms)
{
    return (int32_t)(now_ms - due_ms) >= 0;
}

static const struct options *options_of(const struct session *session)
{
    return session_worker(session)->node->options;
}

static const struct session_events *events_of(const struct session *session)
{
    return session_worker(session)->node->session_events;
}

static void free_session(struct grave *grave)
{
    struct session *session = CONTAINER_OF(grave, struct session, grave);
    struct worker *worker = session_worker(session);
    user_agents_put(&worker->agents, session->agent);
    atomic_fetch_sub(&worker->node->n_sockets, 1);
    free(session);
}

static void leave(struct session *session)
{
    atomic_fetch_sub(&session_worker(session)->node->n_sessions, 1);
    metrics_gauge_add(METRIC_CONNECTIONS, -1);
    if (session->client != NULL)
        events_of(session)->on_leave(session);
}

static void finish(struct session *session)
{
    struct worker *worker = session_worker(session);
    session_move(session, SESSION_CLOSED);
    list_remove(&session->link);
    conn_abandon(&session->conn);
    timer_cancel(reactor_timers(worker->reactor), &session->timer);
    worker_bury(worker, &session->grave, free_session);
}

static void begin_closing(struct session *session)
{
    leave(session);
    session_move(session, SESSION_CLOSING);
    list_append(&session_worker(session)->closing, &session->link);
}

static void on_gone(struct conn *conn, bool is_clean)
{
    struct session *session = CONTAINER_OF(conn, struct session, conn);
    (void)is_clean; /* an end without a close frame is a drop either way (7.1.5, 1006) */
    if (session_is_open(session)) {
        metrics_count(METRIC_CLOSED_DROPPED);
        leave(session);
    }
    finish(session);
}

static void on_drained(struct conn *conn)
{
    struct session *session = CONTAINER_OF(conn, struct session, conn);
    if (session_is_open(session))
        events_of(session)->on_drained(session);
    else if (session->has_peer_close)
        finish(session); /* both close frames are through: the server closes (7.1.1) */
}

/* A session whose queue takes nothing more for lack of memory is of no use; the inbox has it all.
 */
static void give_up(struct session *session)
{
    conn_break(&session->conn);
}

static void send_bytes(struct session *session, const uint8_t *bytes, size_t len)
{
    if (conn_write_bytes(&session->conn, bytes, len) != ERR_OK)
        give_up(session);
}

static void send_ping(struct session *session)
{
    char number[24];
    int len = snprintf(number, sizeof number, "%llu", (unsigned long long)session->position);
    uint8_t frame[WS_CONTROL_FRAME_MAX_BYTES];
    size_t n = ws_control_write(WS_PING, (struct span){number, (size_t)len}, frame);
    session->has_ping_out = true;
    session->wants_ping = false;
    session->ping_number = session->position;
    session->ping_sent_ms = session_clock(session);
    metrics_count(METRIC_PINGS);
    send_bytes(session, frame, n);
}

static void on_flush(struct conn *conn)
{
    struct session *session = CONTAINER_OF(conn, struct session, conn);
    if (session->wants_ping && !session->has_ping_out && session_is_open(session))
        send_ping(session);
}

/* The number that a pong's payload says; false: not a number of ours. */
static bool read_number(struct span text, uint64_t *ret_number)
{
    uint64_t number = 0;
    if (text.len == 0 || text.len > 20)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.bytes[i] < '0' || text.bytes[i] > '9')
            return false;
        number = number * 10 + (uint64_t)(text.bytes[i] - '0');
    }
    *ret_number = number;
    return true;
}

static void on_pong(struct session *session, struct span payload)
{
    uint64_t number;
    if (!session->has_ping_out || !read_number(payload, &number) ||
        number != session->ping_number) {
        metrics_count(METRIC_PONGS_UNMATCHED);
        return;
    }
    metrics_count(METRIC_PONGS);
    session->has_ping_out = false;
    uint32_t round_trip_ms = session_clock(session) - session->ping_sent_ms;
    session->round_trip_ms =
        (uint16_t)(round_trip_ms < UINT16_MAX ? round_trip_ms : UINT16_MAX - 1);
    if (number > session->acked) {
        session->acked = number;
        events_of(session)->on_acked(session);
    }
    if (session->wants_ping) /* written while that ping was under way */
        conn_mark(&session->conn);
}

static void on_ping(struct session *session, struct span payload)
{
    /* One who pings and never reads gets no more answers than fit (5.5.3 lets us skip). */
    if (conn_queued_bytes(&session->conn) > (size_t)options_of(session)->session_max_bytes)
        return;
    uint8_t frame[WS_CONTROL_FRAME_MAX_BYTES];
    send_bytes(session, frame, ws_control_write(WS_PONG, payload, frame));
}

static void on_peer_close(struct session *session, const struct ws_event *event)
{
    session->has_peer_close = true;
    if (session->state == SESSION_CLOSING) {
        if (conn_queued_bytes(&session->conn) == 0)
            finish(session);
        return;
    }
    metrics_count(METRIC_CLOSED_CLIENT);
    begin_closing(session);
    uint8_t frame[WS_CONTROL_FRAME_MAX_BYTES];
    unsigned code = event->close_code == 1005 ? 0 : event->close_code;
    send_bytes(session, frame, ws_close_write(code, (struct span){0}, frame));
}

static void on_event(struct session *session, const struct ws_event *event)
{
    switch (event->kind) {
    case WS_EVENT_DATA:
        if (!session_is_open(session))
            break;
        if (event->opcode == WS_BINARY)
            session_close(session, ERR_BINARY, (struct span){0}, 0);
        else if (event->is_last)
            metrics_count(METRIC_CLIENT_MESSAGES);
        break;
    case WS_EVENT_PING:
        if (session_is_open(session))
            on_ping(session, event->payload);
        break;
    case WS_EVENT_PONG:
        if (session_is_open(session))
            on_pong(session, event->payload);
        break;
    case WS_EVENT_CLOSE:
        on_peer_close(session, event);
        break;
    case WS_EVENT_MALFORMED:
        session->is_deaf = true;
        session_close(session, event->error, (struct span){0}, 0);
        /* Its close frame would not be recognised: FIN asks it to go. */
        conn_shutdown(&session->conn);
        break;
    case WS_EVENT_MORE:
        break;
    }
}

/* The earliest of what is to come; the timer fires then and looks again. */
static void set_timer(struct session *session, uint32_t now_ms)
{
    const struct options *options = options_of(session);
    int32_t wait = (int32_t)(session->next_ping_ms - now_ms);
    int32_t silence = (int32_t)(session->heard_ms - now_ms) + (int32_t)options->silence_timeout;
    if (silence < wait)
        wait = silence;
    if (session->is_draining && (int32_t)(session->drain_at_ms - now_ms) < wait)
        wait = (int32_t)(session->drain_at_ms - now_ms);
    struct worker *worker = session_worker(session);
    timer_set(reactor_timers(worker->reactor), &session->timer,
              worker_now_ms(worker) + (wait > 0 ? wait : 0));
}

static size_t on_bytes(struct conn *conn, uint8_t *bytes, size_t len)
{
    struct session *session = CONTAINER_OF(conn, struct session, conn);
    size_t taken = 0;
    session->heard_ms = session_clock(session);
    if (session->is_suspect) {
        session->is_suspect = false;
        set_timer(session, session->heard_ms);
    }
    while (taken < len && !session->is_deaf && !session->has_peer_close &&
           session->state != SESSION_CLOSED) {
        struct ws_event event;
        taken += ws_decoder_next(&session->decoder, bytes + taken, len - taken, &event);
        if (event.kind == WS_EVENT_MORE)
            return taken;
        on_event(session, &event);
    }
    return len; /* what follows a close frame or an error is not looked at */
}

static const struct conn_ops ops = {on_bytes, on_flush, on_drained, on_gone};

/* Waiting bytes that still move show that a slow line is alive. */
static bool is_silent(const struct session *session, uint32_t now_ms)
{
    uint32_t alive_ms = session->heard_ms;
    int64_t moved_ms = conn_moved_ms(&session->conn);
    if (moved_ms != 0 && has_come((uint32_t)moved_ms, alive_ms))
        alive_ms = (uint32_t)moved_ms;
    return has_come(now_ms, alive_ms + (uint32_t)options_of(session)->silence_timeout);
}

/* The clock alone proves nothing: it may be this process that stood still. A ping must have been
 * out for half of the time, and what had come in by then must have been read. true: not dead yet.
 */
static bool ask_once_more(struct session *session, uint32_t now_ms)
{
    uint32_t silence_ms = (uint32_t)options_of(session)->silence_timeout;
    if (!session->has_ping_out)
        send_ping(session);
    if (!has_come(now_ms, session->ping_sent_ms + silence_ms / 2)) {
        session->heard_ms = session->ping_sent_ms - silence_ms / 2;
        return true;
    }
    if (session->is_suspect)
        return false;
    session->is_suspect = true;
    struct worker *worker = session_worker(session);
    timer_set(reactor_timers(worker->reactor), &session->timer,
              worker_now_ms(worker) + LAST_CHANCE_MS);
    return true;
}

static bool is_stuck(const struct session *session, int64_t now_ms)
{
    int64_t moved_ms = conn_moved_ms(&session->conn);
    return moved_ms != 0 && now_ms - moved_ms >= options_of(session)->slow_timeout;
}

static uint32_t spread_retry(struct session *session)
{
    return 500 + (uint32_t)(worker_random(session_worker(session)) % RETRY_SPREAD_MS);
}

static void on_timer(struct timer *timer)
{
    struct session *session = CONTAINER_OF(timer, struct session, timer);
    uint32_t now_ms = session_clock(session);
    if (!session_is_open(session)) { /* it has lingered long enough */
        finish(session);
        return;
    }
    if (session->is_draining && has_come(now_ms, session->drain_at_ms)) {
        session_close(session, ERR_RESTART, (struct span){0}, spread_retry(session));
        return;
    }
    if (is_stuck(session, worker_now_ms(session_worker(session)))) {
        session_close(session, ERR_SLOW, (struct span){0}, 0);
        return;
    }
    if (!is_silent(session, now_ms)) {
        session->is_suspect = false; /* its waiting bytes have moved meanwhile */
    } else if (!ask_once_more(session, now_ms)) {
        session_close(session, ERR_SILENT, (struct span){0}, 0);
        return;
    } else if (session->is_suspect) {
        return; /* the timer is set for the last look */
    }
    if (has_come(now_ms, session->next_ping_ms)) {
        session->next_ping_ms += (uint32_t)options_of(session)->ping_interval;
        if (has_come(now_ms, session->next_ping_ms)) /* a long stall: no burst afterwards */
            session->next_ping_ms = now_ms + (uint32_t)options_of(session)->ping_interval;
        if (!session->has_ping_out)
            send_ping(session);
    }
    uint32_t quiet_ms = now_ms - session->heard_ms;
    if (quiet_ms >=
        (uint32_t)options_of(session)->silence_timeout) /* alive by its moving bytes alone */
        session->heard_ms = now_ms - (uint32_t)options_of(session)->silence_timeout / 2;
    set_timer(session, now_ms);
}

static enum err queue_accept(struct session *session, const struct admission *admission)
{
    struct buf head;
    buf_init(&head, 512);
    enum err error = handshake_accept(&head, admission->level, admission->accept);
    if (error == ERR_OK)
        error = conn_write_bytes(&session->conn, head.bytes, head.len);
    buf_fini(&head);
    return error;
}

enum err session_new(struct worker *worker, const struct admission *admission,
                     struct session **ret_session)
{
    const struct options *options = worker->node->options;
    struct session *session = calloc(1, sizeof *session);
    if (session == NULL)
        return ERR_NO_MEMORY;
    enum err error = conn_open(&session->conn, &worker->loop, &ops, admission->fd);
    if (error != ERR_OK)
        goto undo_alloc;
    error = queue_accept(session, admission);
    if (error != ERR_OK)
        goto undo_conn;

    session->state = SESSION_REPLAY;
    list_init(&session->link);
    session->level = admission->level & 0xf;
    session->is_new = true;
    session->round_trip_ms = UINT16_MAX;
    session->id = atomic_fetch_add(&worker->node->next_connection, 1);
    session->since_ms = clock_wall_ms();
    session->agent = user_agents_get(&worker->agents, admission->user_agent);
    ws_decoder_init(&session->decoder, (uint32_t)options->max_message);
    uint32_t now_ms = session_clock(session);
    session->heard_ms = now_ms;
    /* The phase is random, so that the pings of many connections never bunch. */
    session->next_ping_ms =
        now_ms + 1 + (uint32_t)(worker_random(worker) % (uint64_t)options->ping_interval);
    timer_init(&session->timer, on_timer);
    set_timer(session, now_ms);
    metrics_count(METRIC_OPENED);
    metrics_gauge_add(METRIC_CONNECTIONS, 1);
    *ret_session = session;
    return ERR_OK;

undo_conn:;
    uint8_t *rest;
    size_t n_rest;
    conn_release(&session->conn, &rest, &n_rest);
    free(rest);
undo_alloc:
    free(session);
    return error;
}

enum err session_write(struct session *session, struct notification *note)
{
    size_t queued = conn_queued_bytes(&session->conn);
    if (queued > 0 && queued + note->payload->len > (size_t)options_of(session)->session_max_bytes)
        return ERR_FULL;
    enum err error = conn_write_payload(&session->conn, note->payload);
    if (error != ERR_OK) {
        give_up(session);
        return error;
    }
    if (note->seq != 0) {
        session->position = note->seq;
        session->wants_ping = true;
    }
    return ERR_OK;
}

static enum metric cause_of(enum err error)
{
    switch (error) {
    case ERR_KICKED:
        return METRIC_CLOSED_KICKED;
    case ERR_REPLACED:
        return METRIC_CLOSED_REPLACED;
    case ERR_RESTART:
        return METRIC_CLOSED_RESTART;
    case ERR_SLOW:
        return METRIC_CLOSED_SLOW;
    case ERR_SILENT:
        return METRIC_CLOSED_SILENT;
    case ERR_RESYNC:
        return METRIC_CLOSED_RESYNC;
    default:
        return METRIC_CLOSED_PROTOCOL;
    }
}

void session_close(struct session *session, enum err error, struct span word, uint32_t retry_ms)
{
    if (!session_is_open(session))
        return;
    metrics_count(cause_of(error));
    begin_closing(session);

    char reason[WS_CONTROL_MAX_BYTES];
    if (word.len == 0)
        word = span_of(error_title(error));
    int len = snprintf(reason, sizeof reason - 2, "%.*s", (int)word.len, word.bytes);
    if (retry_ms != 0)
        len = snprintf(reason, sizeof reason - 2, "%.*s retry_ms=%u", (int)word.len, word.bytes,
                       retry_ms);
    uint8_t frame[WS_CONTROL_FRAME_MAX_BYTES];
    send_bytes(session, frame,
               ws_close_write(error_close_code(error), (struct span){reason, (size_t)len}, frame));

    struct worker *worker = session_worker(session);
    timer_set(reactor_timers(worker->reactor), &session->timer,
              worker_now_ms(worker) + CLOSE_LINGER_MS);
}

void session_close_all(struct client *client, enum err error, struct span word)
{
    while (!list_is_empty(&client->sessions)) /* each leaves the list as it closes */
        session_close(CONTAINER_OF(client->sessions.next, struct session, link), error, word, 0);
}

void session_abandon_closing(struct worker *worker)
{
    while (!list_is_empty(&worker->closing))
        finish(CONTAINER_OF(worker->closing.next, struct session, link));
}

void session_drain(struct session *session)
{
    struct node *node = session_worker(session)->node;
    uint32_t drain_ms = atomic_load(&node->drain_ms);
    uint32_t delay_ms =
        drain_ms == 0 ? 0 : (uint32_t)(worker_random(session_worker(session)) % drain_ms);
    session->is_draining = true;
    session->drain_at_ms = session_clock(session) + delay_ms;
    set_timer(session, session_clock(session));
}
