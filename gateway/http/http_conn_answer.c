/* Answers, whole or in pieces, and whether the connection goes on after them (keep-alive). An
 * answer that ends it is written, the sending side is shut down, and the socket is closed when the
 * peer has gone or after a second: closing at once could destroy the answer on its way. */
#include "gateway/http/http_conn_parts.h"

#include "gateway/base/log.h"

#include <stdio.h>

enum {
    LINGER_MS = 1000,
    SKIPPED_MAX_BYTES = 8192, /* of the body of a request that is kept */
};

void http_conn_keep(struct http_conn *http_conn)
{
    http_conn->may_be_kept = true;
}

void http_conn_let_read(struct http_conn *http_conn)
{
    http_conn->is_readable = true;
}

static bool is_head_asked(const struct http_conn *http_conn)
{
    return span_equal(http_conn_part(http_conn, http_conn->head.method), SPAN_LITERAL("HEAD"));
}

/* The answer to HEAD is the same without the body (RFC 9110, 9.3.2). */
static size_t answer_len(const struct http_conn *http_conn, const struct buf *answer)
{
    if (!is_head_asked(http_conn))
        return answer->len;
    const char *end = memmem(answer->bytes, answer->len, "\r\n\r\n", 4);
    return end == NULL ? answer->len : (size_t)(end - answer->bytes) + 4;
}

void http_conn_disown(struct http_conn *http_conn)
{
    http_conn->ops = NULL;
    http_conn->owner = NULL;
}

/* All of it is queued, or written already. */
static void end_answer(struct http_conn *http_conn)
{
    http_conn->is_answered = true;
    http_conn->is_answering = false;
    http_conn_disown(http_conn);
    if (http_conn->is_heading) /* it was refused */
        http_conn_move(http_conn, &http_conn->all->open);
    if (http_conn->is_kept) { /* until its peer has read the answer */
        http_conn_set_timer(http_conn, atomic_load(&http_conn_limits(http_conn)->stall_timeout_ms));
    } else {
        conn_resume(
            &http_conn->conn); /* a socket that is closed with bytes unread resets the answer */
        conn_shutdown(&http_conn->conn);
        http_conn_begin_to_linger(http_conn, LINGER_MS);
        peer_leave(http_conn->peer); /* it no longer counts for its address */
        http_conn->peer = NULL;
    }
    if (http_conn_unsent(http_conn) == 0)
        http_conn_go_on_later(http_conn);
}

/* Takes over the answer, if writing it has not failed. */
static void send_answer(struct http_conn *http_conn, struct buf *answer, enum err error)
{
    http_conn_disown(http_conn);
    if (error == ERR_OK)
        error = conn_write_heap(&http_conn->conn, answer->bytes, answer_len(http_conn, answer));
    if (error == ERR_OK) {
        end_answer(http_conn);
        return;
    }
    buf_fini(answer);
    http_conn_close(http_conn);
}

/* The body of the request must be over, or short enough to be skipped. */
static bool has_end_of_body(struct http_conn *http_conn, const char *bytes)
{
    const struct http_head *head = &http_conn->head;
    if (http_conn->was_streamed)
        return !http_conn->is_streaming;
    if (!http_head_body_len(head, bytes, SKIPPED_MAX_BYTES, &http_conn->body_len))
        return false;
    /* A client that waits for a 100 may leave the body out now, or not (RFC 9110, 10.1.1). */
    return http_conn->body_len == 0 || head->n_known[HTTP_EXPECT] == 0;
}

/* HTTP/1.0 ends a connection with its answer, and some of its clients ask for more (RFC 9112,
 * C.2.2).
 */
static bool wants_more(const struct http_head *head, const char *bytes)
{
    if (head->n_known[HTTP_CONNECTION] == 0)
        return !head->is_1_0;
    return !http_head_has_token(head, bytes, "Connection", "close") &&
           (!head->is_1_0 || http_head_has_token(head, bytes, "Connection", "keep-alive"));
}

static bool can_be_kept(struct http_conn *http_conn)
{
    const struct http_head *head = &http_conn->head;
    const char *bytes = http_conn_bytes(http_conn).bytes;
    return http_conn->may_be_kept && !http_conn->is_late &&
           !atomic_load(http_conn_own_port(http_conn)->is_ending) && wants_more(head, bytes) &&
           has_end_of_body(http_conn, bytes) &&
           (!http_conn->is_half_closed || http_conn_has_more_here(http_conn));
}

/* has_end: the peer will know where the answer ends. */
static struct http_terms answer_terms(struct http_conn *http_conn, bool has_end)
{
    struct http_terms terms = {.date = worker_date(http_conn_worker(http_conn))};
    http_conn->is_kept = has_end && can_be_kept(http_conn);
    if (http_conn->is_kept)
        terms.keep_s =
            (unsigned)(atomic_load(&http_conn_limits(http_conn)->idle_timeout_ms) / 1000);
    if (http_conn->is_readable) /* found now, because the bytes may move as more come */
        http_conn_find_field(http_conn, "Origin", &terms.reader);
    return terms;
}

void http_conn_answer(struct http_conn *http_conn, unsigned status, const char *content_type,
                      const char *headers, struct span body)
{
    struct buf answer;
    struct http_terms terms = answer_terms(http_conn, true);
    buf_init(&answer, body.len + HTTP_HEAD_MAX_BYTES + 1024);
    enum err error = http_answer(&answer, status, content_type, headers, &terms, body);
    send_answer(http_conn, &answer, error);
}

void http_conn_answer_raw(struct http_conn *http_conn, const struct buf *answer)
{
    struct buf copy;
    buf_init(&copy, answer->len);
    enum err error = buf_append_span(&copy, buf_span(answer));
    send_answer(http_conn, &copy, error);
}

/* ---- in pieces ---- */

void http_conn_begin_answer(struct http_conn *http_conn, unsigned status, const char *content_type,
                            const char *headers, int64_t len)
{
    struct buf answer;
    bool is_to_end = len < 0 && http_conn->head.is_1_0;
    struct http_terms terms = answer_terms(http_conn, !is_to_end);
    http_conn->is_answering = true;
    http_conn->is_chunked = len < 0 && !is_to_end;
    if (is_to_end)
        len = HTTP_ANSWER_TO_END;
    buf_init(&answer, HTTP_HEAD_MAX_BYTES + 1024);
    if (http_answer_head(&answer, status, content_type, headers, &terms, len) != ERR_OK ||
        conn_write_heap(&http_conn->conn, answer.bytes, answer.len) != ERR_OK) {
        conn_break(&http_conn->conn);
        buf_fini(&answer);
    }
    http_conn_set_timer(http_conn, atomic_load(&http_conn_limits(http_conn)->stall_timeout_ms));
}

static enum err write_piece(struct http_conn *http_conn, struct span piece)
{
    char size[24];
    struct conn *conn = &http_conn->conn;
    if (!http_conn->is_chunked)
        return conn_write_bytes(conn, piece.bytes, piece.len);
    int len = snprintf(size, sizeof size, "%zx\r\n", piece.len);
    enum err error = conn_write_bytes(conn, size, (size_t)len);
    if (error == ERR_OK)
        error = conn_write_bytes(conn, piece.bytes, piece.len);
    return error != ERR_OK ? error : conn_write_bytes(conn, "\r\n", 2);
}

void http_conn_send_piece(struct http_conn *http_conn, struct span piece, bool is_last)
{
    bool has_body = !is_head_asked(http_conn);
    enum err error = ERR_OK;
    if (has_body && piece.len > 0)
        error = write_piece(http_conn, piece);
    if (error == ERR_OK && has_body && is_last && http_conn->is_chunked)
        error = conn_write_bytes(&http_conn->conn, "0\r\n\r\n", 5);
    if (error != ERR_OK)
        conn_break(&http_conn->conn);
    if (is_last)
        end_answer(http_conn);
}

size_t http_conn_unsent(const struct http_conn *http_conn)
{
    return conn_queued_bytes(&http_conn->conn);
}

/* What has been read and not parsed yet, of its body or behind it, is nobody's any more. */
void http_conn_break_off(struct http_conn *http_conn)
{
    http_conn_disown(http_conn);
    http_conn->is_answered = true;
    http_conn->is_kept = false;
    conn_break(&http_conn->conn);
}

/* ---- refusals ---- */

/* With the requestId of the answer. Nothing of the request is logged: it may be a secret. */
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

/* Is it a page's WebSocket or EventSource, which shows the page no status? A proxy may have taken
 * away part of the WebSocket's handshake. */
static bool is_of_blind_page(const struct http_conn *http_conn)
{
    const struct http_head *head = &http_conn->head;
    const char *bytes = http_conn_bytes(http_conn).bytes;
    return http_conn_own_port(http_conn)->has_pages && head->len > 0 &&
           http_head_count(head, bytes, "Origin") > 0 &&
           (http_head_count(head, bytes, "Sec-WebSocket-Key") > 0 ||
            http_head_has_token(head, bytes, "Upgrade", "websocket") ||
            http_head_has_token(head, bytes, "Accept", "text/event-stream"));
}

/* A 401 or a 403 is logged with more by the code that refuses it; other errors pass, or are the
 * node's own. */
static bool is_request_error(enum err error)
{
    unsigned status = error_http_status(error);
    return status == 400 || status == 404 || status == 405 || status == 426 || status == 505;
}

void http_conn_refuse(struct http_conn *http_conn, enum err error, const char *detail,
                      const char *field, const char *allow)
{
    http_conn_own_port(http_conn)->count_refused(error_http_status(error));
    if (is_request_error(error) && is_of_blind_page(http_conn)) {
        struct refusal_subject subject;
        http_conn_subject(http_conn, &subject);
        refusals_log_unseen(&subject, detail != NULL ? detail : error_title(error));
    }
    http_conn_problem(http_conn, error, detail, field, allow);
}

void http_conn_report_credentials(const struct http_conn *http_conn, enum err error,
                                  const char *detail)
{
    struct refusal_subject subject;
    http_conn_subject(http_conn, &subject);
    refusals_log_credentials(&subject, detail != NULL ? detail : error_title(error));
}

void http_conn_problem(struct http_conn *http_conn, enum err error, const char *detail,
                       const char *field, const char *allow)
{
    struct buf answer;
    struct http_terms terms = answer_terms(http_conn, true);
    buf_init(&answer, HTTP_HEAD_MAX_BYTES + 4096);
    uint64_t request_id = worker_random(http_conn_worker(http_conn));
    log_refusal(error, detail, request_id);
    enum err result = http_refusal(&answer, error, detail, field, allow, &terms, request_id);
    send_answer(http_conn, &answer, result);
}
