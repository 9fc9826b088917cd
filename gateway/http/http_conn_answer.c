/* What an arrival is answered, and whether its connection goes on behind the answer. */
#include "gateway/http/http_conn_parts.h"

#include "gateway/base/log.h"

enum {
    LINGER_MS = 1000,
    SKIPPED_MAX_BYTES = 8192, /* of the body of a request that is kept */
};

void arrival_keep(struct arrival *arrival)
{
    arrival->may_be_kept = true;
}

void arrival_let_read(struct arrival *arrival)
{
    arrival->is_readable = true;
}

/* To HEAD the same is said without the body (RFC 9110, 9.3.2). */
static size_t answer_len(const struct arrival *arrival, const struct buf *answer)
{
    struct span method = http_part_span(arrival->bytes.bytes, arrival->head.method);
    if (!span_equal(method, SPAN_LITERAL("HEAD")))
        return answer->len;
    const char *end = memmem(answer->bytes, answer->len, "\r\n\r\n", 4);
    return end == NULL ? answer->len : (size_t)(end - answer->bytes) + 4;
}

void arrival_set_timer(struct arrival *arrival, int64_t ms)
{
    struct worker *worker = arrival_worker(arrival);
    timer_set(reactor_timers(worker->reactor), &arrival->timer, worker_now_ms(worker) + ms);
}

/* From now on it makes room for others. */
void arrival_begin_to_linger(struct arrival *arrival, int64_t ms)
{
    arrival->is_lingering = true;
    atomic_fetch_add(&arrival_node(arrival)->n_lingering, 1);
    arrival_set_timer(arrival, ms);
}

static void send_answer(struct arrival *arrival, const struct buf *answer)
{
    arrival->is_answered = true;
    size_t len = answer_len(arrival, answer);
    if (conn_write_bytes(&arrival->conn, answer->bytes, len) != ERR_OK) {
        arrival_finish(arrival);
        return;
    }
    if (arrival->is_kept) { /* until its peer has read the answer */
        arrival_set_timer(arrival, arrival_node(arrival)->options->head_timeout);
        return;
    }
    conn_resume(&arrival->conn); /* a socket that is closed with bytes unread resets the answer */
    conn_shutdown(&arrival->conn);
    arrival_begin_to_linger(arrival, LINGER_MS);
    source_leave(arrival->source); /* one that is over counts no more for its address */
    arrival->source = NULL;
}

static bool can_be_kept(struct arrival *arrival)
{
    const struct http_head *head = &arrival->head;
    const char *bytes = arrival->bytes.bytes;
    if (!arrival->may_be_kept || arrival->is_late || head->is_1_0 ||
        atomic_load(&arrival_node(arrival)->is_draining) ||
        http_head_has_token(head, bytes, "Connection", "close") ||
        !http_head_body_len(head, bytes, SKIPPED_MAX_BYTES, &arrival->body_len))
        return false;
    /* Who waits for a 100 may leave the body out now, or not (RFC 9110, 10.1.1). */
    return arrival->body_len == 0 || http_head_count(head, bytes, "Expect") == 0;
}

static struct http_terms terms_of(struct arrival *arrival)
{
    struct http_terms terms = {.date = worker_date(arrival_worker(arrival))};
    arrival->is_kept = can_be_kept(arrival);
    terms.is_kept = arrival->is_kept;
    if (arrival->is_readable) /* found now, since the bytes move as more come */
        http_head_find(&arrival->head, arrival->bytes.bytes, "Origin", &terms.reader);
    return terms;
}

void arrival_answer(struct arrival *arrival, unsigned status, const char *content_type,
                    const char *headers, struct span body)
{
    struct buf answer;
    struct http_terms terms = terms_of(arrival);
    buf_init(&answer, body.len + HTTP_HEAD_MAX_BYTES + 1024);
    if (http_answer(&answer, status, content_type, headers, &terms, body) == ERR_OK)
        send_answer(arrival, &answer);
    else
        arrival_finish(arrival);
    buf_fini(&answer);
}

void arrival_answer_raw(struct arrival *arrival, const struct buf *answer)
{
    send_answer(arrival, answer);
}

/* With the requestId of the answer. What the request said is not told: it may be a secret. */
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

/* Does a page ask for what tells it no status: a WebSocket, which may have come without what a
 * proxy takes away, or an EventSource? */
static bool is_of_blind_page(const struct arrival *arrival)
{
    const struct http_head *head = &arrival->head;
    const char *bytes = arrival->bytes.bytes;
    return head->len > 0 && http_head_count(head, bytes, "Origin") > 0 &&
           (http_head_count(head, bytes, "Sec-WebSocket-Key") > 0 ||
            http_head_has_token(head, bytes, "Upgrade", "websocket") ||
            http_head_has_token(head, bytes, "Accept", "text/event-stream"));
}

/* Of those of 401 and 403 whoever refuses them tells more; others pass, or lie with the node. */
static bool is_of_request(enum err error)
{
    unsigned status = error_http_status(error);
    return status == 400 || status == 404 || status == 405 || status == 426 || status == 505;
}

void arrival_refuse(struct arrival *arrival, enum err error, const char *detail, const char *field,
                    const char *allow)
{
    refused_count(error_http_status(error));
    if (is_of_request(error) && is_of_blind_page(arrival)) {
        struct refused_who who;
        arrival_who(arrival, &who);
        refused_unseen(&who, detail != NULL ? detail : error_title(error));
    }
    arrival_problem(arrival, error, detail, field, allow);
}

void arrival_problem(struct arrival *arrival, enum err error, const char *detail, const char *field,
                     const char *allow)
{
    struct buf answer;
    struct http_terms terms = terms_of(arrival);
    buf_init(&answer, HTTP_HEAD_MAX_BYTES + 4096);
    uint64_t request_id = worker_random(arrival_worker(arrival));
    log_refusal(error, detail, request_id);
    if (http_refusal(&answer, error, detail, field, allow, &terms, request_id) == ERR_OK)
        send_answer(arrival, &answer);
    else
        arrival_finish(arrival);
    buf_fini(&answer);
}
