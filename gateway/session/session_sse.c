/* What event streams do otherwise. Nothing comes back on them, so what the client's TCP has
 * acknowledged counts as received (CONTRACT 2), unless the query says ack=explicit. When the kernel
 * has taken all that was queued, a mark says how many bytes TCP must have acknowledged for it; only
 * then is it known how many bytes TLS has made of them. The kernel is asked after 20 ms, and then
 * after twice the time each time, up to a second. A comment every 15 s keeps proxies awake and
 * finds out whether the peer still takes bytes. */
#include "gateway/session/session_sse.h"

#include "gateway/base/metrics.h"
#include "gateway/session/session_answer.h"
#include "gateway/session/session_deadlines.h"
#include "gateway/session/session_say.h"
#include "proto/note/sse.h"

#include <linux/sockios.h>
#include <linux/tcp.h> /* glibc's tcp_info ends before what is asked for here */
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

enum { COMMENT_MS = 15000, FIRST_CHECK_MS = 20, LAST_CHECK_MS = 1000 };
enum { STAY_AWAY_MS = 86400000 };

/* What the peer's TCP has acknowledged in all, and what it has yet to. A unix socket knows only the
 * latter: 0 when the peer has read everything. */
static bool read_tcp_progress(const struct session *session, uint64_t *ret_acked,
                              uint64_t *ret_unacked)
{
    struct tcp_info info;
    socklen_t len = sizeof info;
    int unacked = 0;
    int fd = session->conn.watch.fd;
    if (ioctl(fd, SIOCOUTQ, &unacked) != 0)
        return false;
    *ret_unacked = (uint64_t)unacked;
    *ret_acked = 0;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0)
        *ret_acked = info.tcpi_bytes_acked;
    return true;
}

static void check_mark_after(struct session *session, uint32_t after_ms)
{
    session->extra->stream.check_after_ms = after_ms;
    session->extra->stream.check_ms = session_clock(session) + after_ms;
    session_set_timer(session);
}

void session_sse_on_drained(struct session *session)
{
    struct session_stream *stream = &session->extra->stream;
    uint64_t acked, unacked;
    if (stream->is_explicit || stream->mark_seq != 0 || session_sent(session) <= session->acked ||
        !read_tcp_progress(session, &acked, &unacked))
        return;
    stream->mark_seq = session_sent(session);
    stream->mark_bytes = acked + unacked;
    check_mark_after(session, FIRST_CHECK_MS);
}

static void check_mark(struct session *session, uint64_t acked, uint64_t unacked)
{
    struct session_stream *stream = &session->extra->stream;
    if (unacked > 0 && acked < stream->mark_bytes) {
        uint32_t after_ms = 2 * stream->check_after_ms;
        stream->check_after_ms = after_ms < LAST_CHECK_MS ? after_ms : LAST_CHECK_MS;
        stream->check_ms = session_clock(session) + stream->check_after_ms;
        return;
    }
    uint64_t seq = stream->mark_seq;
    stream->mark_seq = 0;
    if (!session_ack(session, seq))
        metrics_count(METRIC_BAD_ACKS);         /* a mark is never beyond what was written */
    if (conn_queued_bytes(&session->conn) == 0) /* written meanwhile: the next mark */
        session_sse_on_drained(session);
}

/* Has it taken anything within --slow-timeout, or is there nothing to take? */
static bool is_stream_alive(struct session *session, uint64_t acked, uint64_t unacked)
{
    struct session_stream *stream = &session->extra->stream;
    uint32_t now_ms = session_clock(session);
    /* A unix socket shows only how much is left: that it changes, or is nothing, is progress. */
    uint64_t progress = acked != 0 ? acked : UINT64_MAX - unacked;
    if (unacked == 0 || progress != stream->progress_bytes) {
        stream->progress_bytes = progress;
        stream->progress_ms = now_ms;
    }
    return !session_has_come(now_ms, stream->progress_ms +
                                         (uint32_t)session_options(session)->slow_timeout);
}

bool session_sse_on_timer(struct session *session)
{
    uint32_t now_ms = session_clock(session);
    uint64_t acked, unacked;
    if (!read_tcp_progress(session, &acked, &unacked))
        return false;
    if (session->extra->stream.mark_seq != 0 &&
        session_has_come(now_ms, session->extra->stream.check_ms))
        check_mark(session, acked, unacked);
    if (!is_stream_alive(session, acked, unacked))
        return false;
    if (session_has_come(now_ms, session->next_ping_ms)) {
        session->next_ping_ms = now_ms + COMMENT_MS;
        struct buf comment;
        buf_init(&comment, 64);
        if (session_queued_bytes(session) == 0 && sse_comment(&comment) == ERR_OK)
            session_say(session, SAY_SIGN, comment.bytes, comment.len);
        buf_fini(&comment);
    }
    return true;
}

/* Only a status makes EventSource give up, and only while none was sent. */
static bool must_give_up(enum err error)
{
    return error == ERR_BLOCKED || error == ERR_KICKED;
}

/* A WebSocket's close codes 4503 and 4508 say that it must not come back by itself. An open stream
 * has no such code, and gets a retry of a day instead: the client's own timer holds it back. */
static bool must_stay_away(enum err error)
{
    return must_give_up(error) || error == ERR_REPLACED;
}

static void send_retry(struct session *session, uint32_t retry_ms)
{
    struct buf last;
    buf_init(&last, 64);
    if (sse_retry(&last, retry_ms) == ERR_OK)
        session_say(session, SAY_ONCE, last.bytes, last.len);
    buf_fini(&last);
}

void session_sse_end(struct session *session, enum err error, uint32_t retry_ms)
{
    bool is_unanswered = session_is_unanswered(session);
    bool is_given_up = is_unanswered && must_give_up(error);
    if (is_unanswered)
        session_answer_stream(session, is_given_up ? 204 : 200);
    if (must_stay_away(error))
        retry_ms = STAY_AWAY_MS;
    if (retry_ms != 0 && !is_given_up)
        send_retry(session, retry_ms);
    conn_shutdown(&session->conn);
}
