/* The one door for all that a session writes after the answer to its request (tests/lint/layers).
 * A client that asks for much and does not read must not fill the memory. So everything is written
 * for a reason (enum say), and the reason decides what happens when --session-max-bytes wait
 * already. What is written while the client's bytes are read counts as an answer to them, whatever
 * reason the caller gave. */
#include "gateway/session/session_say.h"

#include "gateway/base/metrics.h"
#include "gateway/session/session_answer.h"
#include "proto/ws/ws_frame.h"

#include <assert.h>

/* More is not handed to the connection at once: it could neither expire nor be withdrawn there. It
 * is about what one system call writes of short ones (OUT_IOVECS). */
enum { HAND_OVER_BYTES = 32 * 1024 };

size_t session_queued_bytes(const struct session *session)
{
    return conn_queued_bytes(&session->conn) + backlog_bytes(session_backlog(session));
}

bool session_has_room(const struct session *session, size_t len)
{
    size_t queued = session_queued_bytes(session);
    return queued == 0 || queued + len <= (size_t)session_options(session)->session_max_bytes;
}

/* What is of the inbox is given to the connection while little waits there, so it needs no room of
 * its own. Half of session_max_bytes is left to the backlog, so that the withdrawals of one page
 * fit into it when a session has written all, and are not read again and again. */
bool session_takes_more(const struct session *session)
{
    size_t most = (size_t)session_options(session)->session_max_bytes / 2;
    return conn_queued_bytes(&session->conn) < (most < HAND_OVER_BYTES ? most : HAND_OVER_BYTES);
}

bool session_is_busy(const struct session *session)
{
    return backlog_bytes(session_backlog(session)) > 0 || !session_takes_more(session);
}

static bool may_say(const struct session *session, enum say why, size_t len)
{
    bool is_answering = session_worker(session)->answering == session;
    assert(why != SAY_INBOX || session_takes_more(session));
    if (why == SAY_ONCE && is_answering && session->state != SESSION_CLOSING)
        why = SAY_ANSWER;
    if (why == SAY_ONCE || why == SAY_OWED || why == SAY_INBOX || session_has_room(session, len))
        return true;
    metrics_add(METRIC_ANSWERS_SKIPPED, why == SAY_ANSWER);
    return false;
}

static void queue_bytes(struct session *session, const void *bytes, size_t len)
{
    if (conn_write_bytes(&session->conn, bytes, len) != ERR_OK)
        session_give_up(session);
}

bool session_say(struct session *session, enum say why, const void *bytes, size_t len)
{
    if (!may_say(session, why, len))
        return false;
    session_send_answer(session);
    queue_bytes(session, bytes, len);
    return true;
}

bool session_say_text(struct session *session, enum say why, struct span text)
{
    uint8_t header[WS_HEADER_MAX_BYTES];
    size_t header_len = ws_header_write(WS_TEXT, text.len, header);
    if (!may_say(session, why, header_len + text.len))
        return false;
    session_send_answer(session);
    queue_bytes(session, header, header_len);
    queue_bytes(session, text.bytes, text.len);
    return true;
}

enum err session_say_payload(struct session *session, struct payload *payload)
{
    assert(session_takes_more(session));
    session_send_answer(session);
    return conn_write_payload(&session->conn, payload);
}
