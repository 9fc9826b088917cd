/* The end of a session. It leaves its client, the close frame goes out, and the socket is closed
 * when the peer's own close frame has come, or the peer has gone, or two seconds are over. An event
 * stream has no close frame: it ends. A request whose answer is still held back is refused instead.
 */
#include "gateway/session/session_close.h"

#include "gateway/base/metrics.h"
#include "gateway/node/refusals.h"
#include "gateway/session/session_answer.h"
#include "gateway/session/session_hold.h"
#include "gateway/session/session_say.h"
#include "gateway/session/session_sse.h"
#include "gateway/session/session_unanswered.h"
#include "gateway/session/session_write.h"
#include "proto/http/http_answer.h"
#include "proto/ws/ws_frame.h"

#include <stdio.h>
#include <stdlib.h>

enum { CLOSE_LINGER_MS = 2000 };

/* ---- out of the client, and out of memory ---- */

static void free_session(struct deferred_free *deferred)
{
    struct session *session = CONTAINER_OF(deferred, struct session, deferred);
    struct worker *worker = session_worker(session);
    user_agents_put(&worker->agents, session->agent);
    atomic_fetch_sub(&worker->node->n_sockets, 1);
    peer_leave(session->peer);
    session_extra_free(session);
    free(session);
}

void session_leave(struct session *session, enum offline_cause cause)
{
    atomic_fetch_sub(&session_worker(session)->node->n_sessions, 1);
    metrics_gauge_add(METRIC_CONNECTIONS, -1);
    metrics_gauge_add(METRIC_LEAVING, -(int64_t)session->is_draining);
    if (session->client != NULL)
        session_events_of(session)->on_leave(session, cause);
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
    worker_cancel_timer(worker, &session->timer);
    worker_free_later(worker, &session->deferred, free_session);
}

void session_linger(struct session *session)
{
    struct worker *worker = session_worker(session);
    if (!session_is_held(session))
        worker_set_timer(worker, &session->timer, worker_now_ms(worker) + CLOSE_LINGER_MS);
}

void session_begin_closing(struct session *session, enum offline_cause cause)
{
    session_hold_drop(session);
    session_rest_end(session);
    session->is_suspect = false; /* the timer is for the end from now on */
    session_leave(session, cause);
    session_become(session, SESSION_CLOSING);
    list_remove(&session->link);
    list_append(&session_worker(session)->closing, &session->link);
    session_linger(session);
}

void session_detach(struct session *session)
{
    struct worker *worker = session_worker(session);
    session_leave(session, OFFLINE_ERROR); /* it has no client any more */
    session_become(session, SESSION_CLOSED);
    list_remove(&session->link);
    worker_cancel_timer(worker, &session->timer);
    worker_free_later(worker, &session->deferred, free_session);
}

void session_abandon_closing(struct worker *worker)
{
    while (!list_is_empty(&worker->closing))
        session_finish(CONTAINER_OF(worker->closing.next, struct session, link));
}

/* ---- what is said at the end ---- */

static enum metric close_metric(enum err error)
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
    case ERR_AGE:
        return METRIC_CLOSED_AGE;
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
    case ERR_STORE_UNAVAILABLE:
        return METRIC_CLOSED_STORE;
    default:
        return METRIC_CLOSED_PROTOCOL;
    }
}

/* What backends are told of a session that was its user's last one. */
static enum offline_cause offline_cause_of(enum err error)
{
    switch (error) {
    case ERR_KICKED:
    case ERR_BLOCKED:
        return OFFLINE_KICKED;
    case ERR_REPLACED:
        return OFFLINE_REPLACED;
    case ERR_RESTART:
    case ERR_AGE:
        return OFFLINE_DRAINED;
    case ERR_SLOW:
        return OFFLINE_SLOW;
    case ERR_SILENT:
        return OFFLINE_SILENT;
    case ERR_EXPIRED:
        return OFFLINE_EXPIRED;
    default:
        return OFFLINE_ERROR;
    }
}

static void refuse_request(struct session *session, enum err error)
{
    struct buf answer;
    struct http_terms terms = {.date = worker_date(session_worker(session))};
    refusals_count(error_http_status(error));
    buf_init(&answer, 4096);
    session_forget_answer(session);
    if (http_refusal(&answer, error, NULL, NULL, NULL, &terms,
                     worker_random(session_worker(session))) == ERR_OK)
        session_say(session, SAY_ONCE, answer.bytes, answer.len);
    buf_fini(&answer);
    conn_shutdown(&session->conn);
}

static void send_close(struct session *session, enum err error, struct span reason,
                       uint32_t retry_ms)
{
    char text[2 * WS_CONTROL_MAX_BYTES];
    if (reason.len == 0)
        reason = span_of(error_title(error));
    if (retry_ms != 0) {
        snprintf(text, sizeof text, "%.*s retry_ms=%u", (int)reason.len, reason.bytes, retry_ms);
        reason = span_of(text);
    }
    uint8_t frame[WS_CONTROL_FRAME_MAX_BYTES];
    size_t n = ws_close_write(error_close_code(error), reason, frame);
    session_say(session, SAY_ONCE, frame, n);
}

void session_close_with(struct session *session, enum err error, struct span reason,
                        uint32_t retry_ms)
{
    if (!session_is_open(session))
        return;
    metrics_count(close_metric(error));
    session_log(session, "session ended", error_title(error));
    session_begin_closing(session, offline_cause_of(error));
    if (session->level == LEVEL_SSE)
        session_sse_end(session, error, retry_ms);
    else if (session_is_unanswered(session) && error_http_status(error) != 0)
        refuse_request(session, error);
    else
        send_close(session, error, reason, retry_ms);
}

void session_close(struct session *session, enum err error)
{
    session_close_with(session, error, SPAN_NONE, 0);
}

void session_close_all(struct client *client, enum err error, struct span reason)
{
    while (!list_is_empty(&client->sessions)) /* each leaves the list as it closes */
        session_close_with(CONTAINER_OF(client->sessions.next, struct session, link), error, reason,
                           0);
}

void session_resync_all(struct client *client)
{
    LIST_FOR_EACH(link, &client->sessions)
    {
        struct session *session = CONTAINER_OF(link, struct session, link);
        if (reader_has_begun(&session->reader))
            session_reset(session);
    }
    session_close_all(client, ERR_RESYNC, SPAN_NONE);
}
