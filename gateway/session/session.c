/* A session begins with the answer to its request, at once or held back (session_answer.c). What
 * comes in is read by session_read.c; notifications are queued by delivery.c and replay.c through
 * session_write.c.
 *
 * One timer serves several deadlines: the next ping, the silence after which the peer is dead, the
 * end of a drain, and what an event stream has instead (session_sse.c). It is not moved when a
 * frame arrives: it fires, looks, and is set again.
 *
 * Closing: the session leaves its client, the close frame goes out, and the socket is closed when
 * the peer's own close frame has come, or the peer has gone, or two seconds are over. An event
 * stream has no close frame: it ends. */
#include "gateway/session/session_parts.h"

#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/base/metrics.h"
#include "proto/http/http_answer.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

_Static_assert(sizeof(struct session) <= 280, "one for each open connection");

enum { CLOSE_LINGER_MS = 2000, RETRY_SPREAD_MS = 5000 };

static const uint8_t successors[] = {
    [SESSION_NEW] =
        1u << SESSION_AUTH | 1u << SESSION_ENTERED | 1u << SESSION_CLOSING | 1u << SESSION_CLOSED,
    [SESSION_AUTH] = 1u << SESSION_CLOSING | 1u << SESSION_CLOSED,
    [SESSION_ENTERED] = 1u << SESSION_CLOSING | 1u << SESSION_CLOSED,
    [SESSION_CLOSING] = 1u << SESSION_CLOSED,
    [SESSION_CLOSED] = 0,
};

void session_become(struct session *session, enum session_state state)
{
    assert(successors[session->state] >> state & 1);
    session->state = state & 0xf;
}

static void free_extra(struct session_extra *extra)
{
    if (extra == NULL)
        return;
    buf_fini(&extra->message);
    free(extra->held);
    free(extra->wish);
    free(extra->hold.token);
    free(extra->rates);
    free(extra);
}

static void free_session(struct grave *grave)
{
    struct session *session = CONTAINER_OF(grave, struct session, grave);
    struct worker *worker = session_worker(session);
    user_agents_put(&worker->agents, session->agent);
    atomic_fetch_sub(&worker->node->n_sockets, 1);
    peer_leave(session->peer);
    free_extra(session->extra);
    free(session);
}

static void leave(struct session *session)
{
    atomic_fetch_sub(&session_worker(session)->node->n_sessions, 1);
    metrics_gauge_add(METRIC_CONNECTIONS, -1);
    if (session->client != NULL)
        session_events_of(session)->on_leave(session);
    if (session->extra != NULL) {
        backlog_free(session->extra->backlog); /* the inbox has it all */
        session->extra->backlog = NULL;
    }
}

void session_finish(struct session *session)
{
    struct worker *worker = session_worker(session);
    session_become(session, SESSION_CLOSED);
    list_remove(&session->link);
    conn_abandon(&session->conn);
    timer_cancel(reactor_timers(worker->reactor), &session->timer);
    worker_bury(worker, &session->grave, free_session);
}

void session_begin_closing(struct session *session)
{
    session_hold_drop(session);
    session->is_suspect = false; /* the timer is for the end from now on */
    leave(session);
    session_become(session, SESSION_CLOSING);
    list_remove(&session->link);
    struct worker *worker = session_worker(session);
    list_append(&worker->closing, &session->link);
    timer_set(reactor_timers(worker->reactor), &session->timer,
              worker_now_ms(worker) + CLOSE_LINGER_MS);
}

size_t session_name(const struct session *session, char out[SESSION_NAME_MAX_BYTES])
{
    return (size_t)snprintf(out, SESSION_NAME_MAX_BYTES, "c-%llx", (unsigned long long)session->id);
}

void session_log(const struct session *session, const char *event, const char *cause)
{
    char name[SESSION_NAME_MAX_BYTES];
    struct span user = {0};
    if (!log_is_enabled(LOG_DEBUG))
        return;
    session_name(session, name);
    if (session->client != NULL)
        user = client_user_id(session->client);
    if (cause == NULL)
        log_event(LOG_DEBUG, event, LOG_TEXT("connection", name), LOG_SPAN("user", user));
    else
        log_event(LOG_DEBUG, event, LOG_TEXT("connection", name), LOG_SPAN("user", user),
                  LOG_TEXT("cause", cause));
}

static void on_gone(struct conn *conn, bool is_clean)
{
    struct session *session = CONTAINER_OF(conn, struct session, conn);
    (void)is_clean; /* an end without a close frame is a drop either way (7.1.5, 1006) */
    if (session_is_open(session)) {
        metrics_count(session->is_given_up ? METRIC_CLOSED_MEMORY : METRIC_CLOSED_DROPPED);
        session_log(session, "session ended", session->is_given_up ? "out of memory" : "dropped");
        leave(session);
    }
    session_finish(session);
}

void session_detach(struct session *session)
{
    struct worker *worker = session_worker(session);
    leave(session);
    session_become(session, SESSION_CLOSED);
    list_remove(&session->link);
    timer_cancel(reactor_timers(worker->reactor), &session->timer);
    worker_bury(worker, &session->grave, free_session);
}

void session_give_up(struct session *session)
{
    session->is_given_up = true;
    conn_break(&session->conn);
}

struct session_extra *session_extra(struct session *session)
{
    if (session->extra != NULL)
        return session->extra;
    session->extra = calloc(1, sizeof *session->extra);
    if (session->extra != NULL)
        buf_init(&session->extra->message, (size_t)session_options(session)->max_message);
    return session->extra;
}

void session_set_timer(struct session *session)
{
    const struct options *options = session_options(session);
    uint32_t now_ms = session_clock(session);
    int32_t wait;
    if (session->level == LEVEL_SSE) {
        wait = sse_wait_ms(session, now_ms);
    } else {
        int32_t silence = (int32_t)(session->heard_ms - now_ms) + (int32_t)options->silence_timeout;
        wait = (int32_t)(session->next_ping_ms - now_ms);
        wait = silence < wait ? silence : wait;
    }
    struct worker *worker = session_worker(session);
    int64_t moved_ms = conn_moved_ms(&session->conn);
    int64_t stuck = moved_ms + options->slow_timeout - worker_now_ms(worker);
    if (moved_ms != 0 && stuck < wait)
        wait = (int32_t)stuck;
    int32_t unfinished = session_unfinished_wait_ms(session);
    wait = unfinished < wait ? unfinished : wait;
    int32_t credit = session_auth_wait_ms(session);
    wait = credit < wait ? credit : wait;
    if (session->is_draining && (int32_t)(session->drain_at_ms - now_ms) < wait)
        wait = (int32_t)(session->drain_at_ms - now_ms);
    timer_set(reactor_timers(worker->reactor), &session->timer,
              worker_now_ms(worker) + (wait > 0 ? wait : 0));
}

static struct ip address(const struct conn *conn)
{
    const struct session *session = CONTAINER_OF(conn, const struct session, conn);
    return peer_of_work(session->peer, conn->watch.fd);
}

static const struct conn_ops ops = {session_on_bytes, session_on_flush, session_on_drained, on_gone,
                                    address};

/* Waiting bytes that still move show that a slow line is alive. */
static bool is_silent(const struct session *session, uint32_t now_ms)
{
    uint32_t alive_ms = session->heard_ms;
    if (session_is_holding(session) && conn_has_unread(&session->conn))
        return false; /* it is this side that does not read */
    int64_t moved_ms = conn_moved_ms(&session->conn);
    if (moved_ms != 0 && session_has_come((uint32_t)moved_ms, alive_ms))
        alive_ms = (uint32_t)moved_ms;
    return session_has_come(now_ms, alive_ms + (uint32_t)session_options(session)->silence_timeout);
}

/* The clock alone proves nothing: it may be this process that stood still. A ping must have been
 * out for half of the time, and what had come in by then must have been read. true: not dead yet.
 */
static bool ask_once_more(struct session *session, uint32_t now_ms)
{
    uint32_t silence_ms = (uint32_t)session_options(session)->silence_timeout;
    if (!session->has_ping_out && !session_send_ping(session)) {
        session->heard_ms = now_ms - silence_ms / 2; /* so much waits that --slow-timeout decides */
        return true;
    }
    if (!session_has_come(now_ms, session->ping_sent_ms + silence_ms / 2)) {
        session->heard_ms = session->ping_sent_ms - silence_ms / 2;
        return true;
    }
    if (session->is_suspect)
        return false;
    session->is_suspect = true;
    struct worker *worker = session_worker(session);
    timer_set(reactor_timers(worker->reactor), &session->timer,
              worker_now_ms(worker) + SESSION_LAST_CHANCE_MS);
    return true;
}

static bool is_stuck(const struct session *session, int64_t now_ms)
{
    int64_t moved_ms = conn_moved_ms(&session->conn);
    return moved_ms != 0 && now_ms - moved_ms >= session_options(session)->slow_timeout;
}

uint32_t session_retry_ms(struct session *session)
{
    return 500 + (uint32_t)(worker_random(session_worker(session)) % RETRY_SPREAD_MS);
}

static void ping_if_due(struct session *session, uint32_t now_ms)
{
    uint32_t interval_ms = (uint32_t)session_options(session)->ping_interval;
    if (!session_has_come(now_ms, session->next_ping_ms))
        return;
    session->next_ping_ms += interval_ms;
    if (session_has_come(now_ms, session->next_ping_ms)) /* a long stall: no burst afterwards */
        session->next_ping_ms = now_ms + interval_ms;
    if (!session->has_ping_out)
        session_send_ping(session);
}

static void watch_socket(struct session *session)
{
    uint32_t now_ms = session_clock(session);
    uint32_t silence_ms = (uint32_t)session_options(session)->silence_timeout;
    if (!is_silent(session, now_ms)) {
        session->is_suspect = false; /* its waiting bytes have moved meanwhile */
    } else if (!ask_once_more(session, now_ms)) {
        session_close(session, ERR_SILENT, (struct span){0}, 0);
        return;
    } else if (session->is_suspect) {
        return; /* the timer is set for the last look */
    }
    ping_if_due(session, now_ms);
    if (now_ms - session->heard_ms >= silence_ms) /* alive by its moving bytes alone */
        session->heard_ms = now_ms - silence_ms / 2;
    session_set_timer(session);
}

static void watch_stream(struct session *session)
{
    if (!sse_on_timer(session))
        session_close(session, ERR_SLOW, (struct span){0}, 0);
    else
        session_set_timer(session);
}

static void on_timer(struct timer *timer)
{
    struct session *session = CONTAINER_OF(timer, struct session, timer);
    enum err error;
    if (!session_is_open(session)) /* it has lingered long enough */
        session_finish(session);
    else if (session->is_draining && session_has_come(session_clock(session), session->drain_at_ms))
        session_close(session, ERR_RESTART, (struct span){0}, session_retry_ms(session));
    else if (session_hold_is_over(session))
        session_hold_go_on(session);
    else if (session_auth_is_over(session, &error))
        session_end_auth(session, error);
    else if (is_stuck(session, worker_now_ms(session_worker(session))))
        session_close(session, ERR_SLOW, (struct span){0}, 0);
    else if (session_is_unfinished_late(session))
        session_close(session, ERR_SLOW, SPAN_LITERAL("slow message"), 0);
    else if (session->level == LEVEL_SSE)
        watch_stream(session);
    else
        watch_socket(session);
}

void session_trim(struct session *session)
{
    struct session_extra *extra = session->extra;
    if (extra == NULL || session->level > LEVEL_PLAIN_NAMED || extra->held != NULL ||
        extra->backlog != NULL || extra->rates != NULL || !epoch_is_none(extra->resume.epoch))
        return;
    session->extra = NULL;
    free_extra(extra);
}

static enum err keep_resume(struct session *session, const struct resume *resume)
{
    if (epoch_is_none(resume->epoch))
        return ERR_OK;
    struct session_extra *extra = session_extra(session);
    if (extra == NULL)
        return ERR_NO_MEMORY;
    extra->resume = *resume;
    return ERR_OK;
}

static void set_first_deadlines(struct session *session)
{
    struct worker *worker = session_worker(session);
    uint32_t now_ms = session_clock(session);
    session->heard_ms = now_ms;
    /* The phase is random, so that the pings of many connections never bunch. */
    session->next_ping_ms =
        now_ms + 1 +
        (uint32_t)(worker_random(worker) % (uint64_t)session_options(session)->ping_interval);
    if (session->extra != NULL)
        session->extra->progress_ms = now_ms;
    timer_init(&session->timer, on_timer);
    session_set_timer(session);
}

enum err session_new(struct worker *worker, const struct admission *admission,
                     struct session **ret_session)
{
    const struct options *options = worker->node->options;
    struct session *session = calloc(1, sizeof *session);
    if (session == NULL)
        return ERR_NO_MEMORY;
    enum err error = conn_open(&session->conn, &worker->loop, &ops, admission->socket);
    if (error != ERR_OK)
        goto undo_alloc;
    session->level = admission->level & 0xf;
    error = keep_resume(session, &admission->resume);
    if (error == ERR_OK)
        error = session_answer_request(session, admission);
    if (error != ERR_OK)
        goto undo_conn;

    list_init(&session->link);
    reader_init(&session->reader);
    session->round_trip_ms = UINT16_MAX;
    session->id = atomic_fetch_add(&worker->node->next_connection, 1);
    session->since_ms = clock_wall_ms();
    session->peer = admission->peer;
    session->agent = user_agents_get(&worker->agents, admission->user_agent);
    ws_decoder_init(&session->decoder, (uint32_t)options->max_message);
    session->window_bits = (unsigned)admission->deflate.window_bits & 0xf;
    if (session->window_bits != 0)
        ws_decoder_allow_compressed(&session->decoder);
    session->until_s = session_until_s(admission->until_ms);
    set_first_deadlines(session);
    if (!admission->is_open)
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
    free_extra(session->extra);
    free(session);
    return error;
}

static enum metric cause_of(enum err error)
{
    switch (error) {
    case ERR_KICKED:
        return METRIC_CLOSED_KICKED;
    case ERR_BLOCKED:
        return METRIC_CLOSED_BLOCKED;
    case ERR_REPLACED:
        return METRIC_CLOSED_REPLACED;
    case ERR_RESTART:
        return METRIC_CLOSED_RESTART;
    case ERR_SLOW:
        return METRIC_CLOSED_SLOW;
    case ERR_SILENT:
        return METRIC_CLOSED_SILENT;
    case ERR_RATE:
        return METRIC_CLOSED_RATE;
    case ERR_RESYNC:
        return METRIC_CLOSED_RESYNC;
    case ERR_UNAUTHORIZED:
    case ERR_EXPIRED:
    case ERR_AUTH_TIMEOUT:
        return METRIC_CLOSED_AUTH;
    case ERR_NO_MEMORY:
        return METRIC_CLOSED_MEMORY;
    default:
        return METRIC_CLOSED_PROTOCOL;
    }
}

static void send_close(struct session *session, enum err error, struct span word, uint32_t retry_ms)
{
    char text[2 * WS_CONTROL_MAX_BYTES];
    struct span reason = word.len == 0 ? span_of(error_title(error)) : word;
    if (retry_ms != 0) {
        snprintf(text, sizeof text, "%.*s retry_ms=%u", (int)reason.len, reason.bytes, retry_ms);
        reason = span_of(text);
    }
    uint8_t frame[WS_CONTROL_FRAME_MAX_BYTES];
    size_t n = ws_close_write(error_close_code(error), reason, frame);
    session_say(session, SAY_ONCE, frame, n);
}

void session_close(struct session *session, enum err error, struct span word, uint32_t retry_ms)
{
    if (!session_is_open(session))
        return;
    metrics_count(cause_of(error));
    session_log(session, "session ended", error_title(error));
    session_begin_closing(session);
    if (session->level == LEVEL_SSE)
        sse_end(session, error, retry_ms);
    else if (session->extra != NULL && session->extra->held != NULL &&
             error_http_status(error) != 0)
        session_refuse(session, error);
    else
        send_close(session, error, word, retry_ms);
}

void session_close_all(struct client *client, enum err error, struct span word)
{
    while (!list_is_empty(&client->sessions)) /* each leaves the list as it closes */
        session_close(CONTAINER_OF(client->sessions.next, struct session, link), error, word, 0);
}

void session_resync_all(struct client *client)
{
    LIST_FOR_EACH(link, &client->sessions)
    {
        struct session *session = CONTAINER_OF(link, struct session, link);
        if (reader_has_begun(&session->reader))
            session_reset(session);
    }
    session_close_all(client, ERR_RESYNC, (struct span){0});
}

void session_abandon_closing(struct worker *worker)
{
    while (!list_is_empty(&worker->closing))
        session_finish(CONTAINER_OF(worker->closing.next, struct session, link));
}

void session_drain(struct session *session)
{
    struct worker *worker = session_worker(session);
    int64_t left_ms = atomic_load(&worker->node->drain_ends_ms) - worker_now_ms(worker);
    if (session->is_draining)
        return;
    uint32_t delay_ms = left_ms <= 0 ? 0 : (uint32_t)(worker_random(worker) % (uint64_t)left_ms);
    session_drain_at(session, session_clock(session) + delay_ms);
    if (session->level == LEVEL_V1)
        session_send_goaway(session, delay_ms);
}

void session_drain_at(struct session *session, uint32_t drain_at_ms)
{
    session->is_draining = true;
    session->drain_at_ms = drain_at_ms;
    session_set_timer(session);
}
