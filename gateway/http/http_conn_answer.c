/* Answers, and whether the connection goes on after them (keep-alive). An answer that ends it is
 * written, the sending side is shut down, and the socket is closed when the peer has gone or after
 * a second: closing at once could destroy the answer on its way. */
#include "gateway/http/http_conn_parts.h"

#include "gateway/base/log.h"

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

/* The answer to HEAD is the same without the body (RFC 9110, 9.3.2). */
static size_t answer_len(const struct http_conn *http_conn, const struct buf *answer)
{
    struct span method = http_part_span(http_conn->bytes.bytes, http_conn->head.method);
    if (!span_equal(method, SPAN_LITERAL("HEAD")))
        return answer->len;
    const char *end = memmem(answer->bytes, answer->len, "\r\n\r\n", 4);
    return end == NULL ? answer->len : (size_t)(end - answer->bytes) + 4;
}

static void send_answer(struct http_conn *http_conn, const struct buf *answer)
{
    http_conn->is_answered = true;
    size_t len = answer_len(http_conn, answer);
    if (conn_write_bytes(&http_conn->conn, answer->bytes, len) != ERR_OK) {
        http_conn_close(http_conn);
        return;
    }
    if (http_conn->is_kept) { /* until its peer has read the answer */
        http_conn_set_timer(http_conn, http_conn_node(http_conn)->options->head_timeout);
        return;
    }
    conn_resume(&http_conn->conn); /* a socket that is closed with bytes unread resets the answer */
    conn_shutdown(&http_conn->conn);
    http_conn_begin_to_linger(http_conn, LINGER_MS);
    peer_leave(http_conn->peer); /* it no longer counts for its address */
    http_conn->peer = NULL;
}

static bool can_be_kept(struct http_conn *http_conn)
{
    const struct http_head *head = &http_conn->head;
    const char *bytes = http_conn->bytes.bytes;
    if (!http_conn->may_be_kept || http_conn->is_late || head->is_1_0 ||
        atomic_load(&http_conn_node(http_conn)->is_draining) ||
        http_head_has_token(head, bytes, "Connection", "close") ||
        !http_head_body_len(head, bytes, SKIPPED_MAX_BYTES, &http_conn->body_len))
        return false;
    /* A client that waits for a 100 may leave the body out now, or not (RFC 9110, 10.1.1). */
    return http_conn->body_len == 0 || http_head_count(head, bytes, "Expect") == 0;
}

static struct http_terms answer_terms(struct http_conn *http_conn)
{
    struct http_terms terms = {.date = worker_date(http_conn_worker(http_conn))};
    http_conn->is_kept = can_be_kept(http_conn);
    terms.is_kept = http_conn->is_kept;
    if (http_conn->is_readable) /* found now, because the bytes may move as more come */
        http_head_find(&http_conn->head, http_conn->bytes.bytes, "Origin", &terms.reader);
    return terms;
}

void http_conn_answer(struct http_conn *http_conn, unsigned status, const char *content_type,
                      const char *headers, struct span body)
{
    struct buf answer;
    struct http_terms terms = answer_terms(http_conn);
    buf_init(&answer, body.len + HTTP_HEAD_MAX_BYTES + 1024);
    if (http_answer(&answer, status, content_type, headers, &terms, body) == ERR_OK)
        send_answer(http_conn, &answer);
    else
        http_conn_close(http_conn);
    buf_fini(&answer);
}

void http_conn_answer_raw(struct http_conn *http_conn, const struct buf *answer)
{
    send_answer(http_conn, answer);
}

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
    const char *bytes = http_conn->bytes.bytes;
    return head->len > 0 && http_head_count(head, bytes, "Origin") > 0 &&
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
    refusals_count(error_http_status(error));
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
    struct http_terms terms = answer_terms(http_conn);
    buf_init(&answer, HTTP_HEAD_MAX_BYTES + 4096);
    uint64_t request_id = worker_random(http_conn_worker(http_conn));
    log_refusal(error, detail, request_id);
    if (http_refusal(&answer, error, detail, field, allow, &terms, request_id) == ERR_OK)
        send_answer(http_conn, &answer);
    else
        http_conn_close(http_conn);
    buf_fini(&answer);
}
