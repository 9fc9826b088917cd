/* The life of a session: it begins with the answer to its request, its timer fires, its connection
 * reports what came in, went out or broke. What comes in is read by session_read.c; notifications
 * are queued by delivery/ through session_write.c; all the ways to end are in session_close.c. */
#include "gateway/session/session_life.h"

#include "gateway/base/clock.h"
#include "gateway/base/metrics.h"
#include "gateway/session/session_answer.h"
#include "gateway/session/session_auth.h"
#include "gateway/session/session_close.h"
#include "gateway/session/session_deadlines.h"
#include "gateway/session/session_hold.h"
#include "gateway/session/session_leaving.h"
#include "gateway/session/session_read.h"
#include "gateway/session/session_say.h"
#include "gateway/session/session_sse.h"
#include "gateway/session/session_unanswered.h"
#include "gateway/session/session_write.h"

#include <stdlib.h>

/* ---- what its connection reports ---- */

/* Reports that its user is known, unless something waits to be written first. */
static void report_identified(struct session *session)
{
    if (conn_queued_bytes(&session->conn) == 0)
        session_events_of(session)->on_identified(session);
}

static void on_session_flush(struct conn *conn)
{
    struct session *session = CONTAINER_OF(conn, struct session, conn);
    if (!session_is_open(session))
        return;
    if (session_is_identified(session)) {
        report_identified(session);
        return;
    }
    bool had_backlog = session_backlog(session) != NULL;
    session_feed(session);
    if (session->wants_ping && !session->has_ping_out && session->n_unmatched < 2)
        session_send_ping(session);
    /* All of the backlog has expired or was withdrawn, and nothing is written of it. */
    if (had_backlog && session_queued_bytes(session) == 0)
        session_events_of(session)->on_drained(session);
}

static void on_session_drained(struct conn *conn)
{
    struct session *session = CONTAINER_OF(conn, struct session, conn);
    if (!session_is_open(session)) {
        if (session->has_peer_close)
            session_finish(session); /* both close frames are through: the server closes (7.1.1) */
        return;
    }
    if (session_is_identified(session)) {
        report_identified(session);
        return;
    }
    if (session->level == LEVEL_SSE)
        session_sse_on_drained(session);
    if (session_backlog(session) != NULL)
        conn_mark(conn); /* on_session_flush hands over more */
    else {
        session_read_on(session);
        session_trim(session);
        session_events_of(session)->on_drained(session);
    }
}

static void on_session_gone(struct conn *conn, bool is_clean)
{
    struct session *session = CONTAINER_OF(conn, struct session, conn);
    (void)is_clean; /* an end without a close frame is a drop either way (7.1.5, 1006) */
    if (session_is_open(session)) {
        metrics_count(session->is_given_up ? METRIC_CLOSED_MEMORY : METRIC_CLOSED_DROPPED);
        session_log(session, "session ended", session->is_given_up ? "out of memory" : "dropped");
        session_leave(session, session->is_given_up ? OFFLINE_ERROR : OFFLINE_CLOSED);
    }
    session_finish(session);
}

static struct ip conn_address(const struct conn *conn)
{
    const struct session *session = CONTAINER_OF(conn, const struct session, conn);
    return peer_of_work(session->peer, conn->watch.fd);
}

const struct conn_ops session_conn_ops = {session_on_bytes, on_session_flush, on_session_drained,
                                          on_session_gone, conn_address};

/* ---- the timer ---- */

/* Waiting bytes that still move show that a slow line is alive. */
static bool is_silent(const struct session *session, uint32_t now_ms)
{
    uint32_t alive_ms = session->heard_ms;
    if ((session_is_holding(session) || session->is_resting) && conn_has_unread(&session->conn))
        return false; /* it is this side that does not read */
    int64_t moved_ms = conn_moved_ms(&session->conn);
    if (moved_ms != 0 && session_has_come((uint32_t)moved_ms, alive_ms))
        alive_ms = (uint32_t)moved_ms;
    return session_has_come(now_ms, alive_ms + (uint32_t)session_options(session)->silence_timeout);
}

/* The clock alone proves nothing: it may be this process that stood still. A ping must have been
 * out for half of the time, and what had come in by then must have been read. true: not dead yet.
 */
static bool probe_silent_peer(struct session *session, uint32_t now_ms)
{
    uint32_t silence_ms = (uint32_t)session_options(session)->silence_timeout;
    if (!session->has_ping_out && !session_send_ping(session)) {
        session->heard_ms =
            now_ms - silence_ms / 2; /* the queue is full, so --slow-timeout decides */
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
    worker_set_timer(worker, &session->timer, worker_now_ms(worker) + SESSION_LAST_CHANCE_MS);
    return true;
}

static bool is_writing_stuck(const struct session *session, int64_t now_ms)
{
    int64_t moved_ms = conn_moved_ms(&session->conn);
    return moved_ms != 0 && now_ms - moved_ms >= session_options(session)->slow_timeout;
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

static void watch_websocket(struct session *session)
{
    uint32_t now_ms = session_clock(session);
    uint32_t silence_ms = (uint32_t)session_options(session)->silence_timeout;
    if (!is_silent(session, now_ms)) {
        session->is_suspect = false; /* its waiting bytes have moved meanwhile */
    } else if (!probe_silent_peer(session, now_ms)) {
        session_close(session, ERR_SILENT);
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
    if (!session_sse_on_timer(session))
        session_close(session, ERR_SLOW);
    else
        session_set_timer(session);
}

void session_on_timer(struct timer *timer)
{
    struct session *session = CONTAINER_OF(timer, struct session, timer);
    enum err error;
    if (!session_is_open(session)) /* it has lingered long enough */
        session_finish(session);
    else if (session_leaving_is_over(session))
        session_end_leaving(session);
    else if (session_age_is_near(session))
        session_begin_aging(session);
    else if (session_hold_is_over(session))
        session_hold_resume(session);
    else if (session_auth_is_over(session, &error))
        session_end_auth(session, error);
    else if (is_writing_stuck(session, worker_now_ms(session_worker(session))))
        session_close(session, ERR_SLOW);
    else if (session_is_unfinished_late(session))
        session_close_with(session, ERR_SLOW, SPAN_LITERAL("slow message"), 0);
    else if (session->level == LEVEL_SSE)
        watch_stream(session);
    else
        watch_websocket(session);
}

/* ---- the beginning ---- */

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
    if (session->level == LEVEL_SSE)
        session->extra->stream.progress_ms = now_ms;
    timer_init(&session->timer, session_on_timer);
    session_set_timer(session);
}

static void init_session(struct session *session, const struct admission *admission)
{
    struct worker *worker = session_worker(session);
    list_init(&session->link);
    reader_init(&session->reader);
    session->round_trip_ms = UINT16_MAX;
    session->id =
        atomic_fetch_add(&worker->node->next_connection, 1) % (UINT64_C(1) << SESSION_ID_BITS);
    session->timer.owned = (uint32_t)(clock_wall_ms() / 1000);
    session->peer = admission->peer;
    session->agent = user_agents_get(&worker->agents, admission->user_agent);
    session->until_s = session_until_s(admission->claim.identity.expires_ms);
    session->window_bits = (unsigned)admission->deflate.window_bits & 0xf;
    set_first_deadlines(session);
}

static void free_unborn(struct deferred_free *deferred)
{
    free(CONTAINER_OF(deferred, struct session, deferred));
}

enum err session_new(struct worker *worker, const struct admission *admission,
                     struct session **ret_session)
{
    struct session *session = calloc(1, sizeof *session);
    if (session == NULL)
        return ERR_NO_MEMORY;
    enum err error = conn_open(&session->conn, &worker->loop, &session_conn_ops, admission->socket);
    if (error != ERR_OK)
        goto undo_alloc;
    session->level = admission->level & 0xf;
    error = keep_resume(session, &admission->resume);
    if (error == ERR_OK)
        error = session_answer_request(session, admission);
    if (error != ERR_OK)
        goto undo_conn;
    init_session(session, admission);
    if (!admission->is_answered)
        metrics_count(METRIC_OPENED);
    metrics_gauge_add(METRIC_CONNECTIONS, 1);
    *ret_session = session;
    return ERR_OK;

undo_conn:;
    uint8_t *rest;
    size_t n_rest;
    conn_release(&session->conn, &rest, &n_rest);
    free(rest);
    session_extra_free(session);
    worker_free_later(worker, &session->deferred, free_unborn); /* epoll has known it */
    return error;

undo_alloc:
    free(session);
    return error;
}
