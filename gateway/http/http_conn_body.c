/* A request's body on its way to the request's owner, piece by piece, from where it was read. What
 * the owner does not take now is held after the head, and nothing more is read meanwhile. A body
 * that is malformed, or that does not move in time, ends the connection with the answer. */
#include "gateway/http/http_conn_parts.h"

static void refuse_body(struct http_conn *http_conn, enum err error, const char *detail)
{
    http_conn_pause_body(http_conn); /* what comes after that cannot be read */
    if (http_conn->ops->on_bad_body != NULL)
        http_conn->ops->on_bad_body(http_conn, error, detail);
    else
        http_conn_refuse(http_conn, error, detail, NULL, NULL);
}

/* Returns how much of the piece was taken. */
static size_t give_piece(struct http_conn *http_conn, struct span piece, bool is_last)
{
    http_conn->is_streaming = !is_last;
    size_t n_taken = http_conn->ops->on_body(http_conn, piece, is_last);
    http_body_take(&http_conn->body, n_taken);
    if (http_conn->is_gone || http_conn->is_answered)
        return n_taken;
    if (n_taken < piece.len) {
        http_conn->is_streaming = true;
        http_conn_pause_body(http_conn);
    } else if (is_last) {
        http_conn->is_waiting = true;
        if (!http_conn->is_answering) /* an answer that has begun has a time of its own */
            http_conn_cancel_timer(http_conn);
    }
    return n_taken;
}

static bool can_offer(const struct http_conn *http_conn)
{
    return http_conn->is_streaming && !http_conn->is_body_paused && !http_conn->is_gone &&
           !http_conn->is_answered;
}

/* Returns how many of the bytes are over. */
static size_t offer_body(struct http_conn *http_conn, struct span bytes)
{
    size_t at = 0;
    while (can_offer(http_conn)) {
        size_t n_read;
        struct span piece;
        struct span rest = {bytes.bytes + at, bytes.len - at};
        enum http_body_result result = http_body_next(&http_conn->body, rest, &n_read, &piece);
        at += n_read;
        if (result == HTTP_BODY_MORE)
            break;
        if (result == HTTP_BODY_BAD)
            refuse_body(http_conn, ERR_BAD_HEAD, http_conn->body.detail);
        else
            at += give_piece(http_conn, piece,
                             result == HTTP_BODY_DONE ||
                                 http_body_ends_with(&http_conn->body, piece.len));
    }
    return at;
}

static void watch_for_stall(struct http_conn *http_conn)
{
    if (can_offer(http_conn))
        http_conn_set_timer(http_conn, atomic_load(&http_conn_limits(http_conn)->stall_timeout_ms));
}

void http_conn_pump_body(struct http_conn *http_conn)
{
    size_t from = http_conn->head.len;
    if (http_conn->lent.bytes != NULL) {
        from += http_conn->body_len;
        struct span lent = http_conn->lent;
        http_conn->body_len +=
            offer_body(http_conn, (struct span){lent.bytes + from, lent.len - from});
    } else {
        struct buf *held = &http_conn->bytes;
        size_t n = offer_body(http_conn, (struct span){held->bytes + from, held->len - from});
        memmove(held->bytes + from, held->bytes + from + n, held->len - from - n);
        held->len -= n;
    }
    watch_for_stall(http_conn);
}

void http_conn_stream(struct http_conn *http_conn, const uint8_t *bytes, size_t len)
{
    struct buf *held = &http_conn->bytes;
    size_t n_over = 0;
    bool has_held = held->len > http_conn->head.len;
    if (!has_held)
        n_over = offer_body(http_conn, (struct span){(const char *)bytes, len});
    if (http_conn->is_gone || (http_conn->is_answered && !http_conn->is_kept))
        return;
    if (buf_append(held, bytes + n_over, len - n_over) != ERR_OK)
        http_conn_close(http_conn); /* out of memory */
    else if (has_held)
        http_conn_pump_body(http_conn);
    else
        watch_for_stall(http_conn);
}

void http_conn_stall_body(struct http_conn *http_conn)
{
    refuse_body(http_conn, ERR_HEAD_TIMEOUT, "the body did not go on in time");
}

static bool expects_word(const struct http_conn *http_conn)
{
    struct span expect;
    const struct http_head *head = &http_conn->head;
    struct span bytes = http_conn_bytes(http_conn);
    return !head->is_1_0 && bytes.len == head->len &&
           http_head_get(head, bytes.bytes, HTTP_EXPECT, &expect) &&
           span_equal_nocase(expect, SPAN_LITERAL("100-continue"));
}

enum err http_conn_take_body(struct http_conn *http_conn, const char **ret_detail)
{
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    const struct http_head *head = &http_conn->head;
    enum err error =
        http_body_init(&http_conn->body, head, http_conn_bytes(http_conn).bytes, ret_detail);
    if (error != ERR_OK)
        return error;
    http_conn->is_streaming = http_conn->was_streamed = true;
    conn_set_bulk(&http_conn->conn, true); /* the owner wants it, and pauses what is too much */
    if (expects_word(http_conn) &&
        conn_write_bytes(&http_conn->conn, go_on, sizeof go_on - 1) != ERR_OK)
        conn_break(&http_conn->conn);
    conn_resume(&http_conn->conn); /* more was sent ahead than there was room for */
    return ERR_OK;
}

void http_conn_pause_body(struct http_conn *http_conn)
{
    if (!http_conn->is_streaming || http_conn->is_body_paused)
        return;
    http_conn->is_body_paused = true;
    conn_pause(&http_conn->conn);
    http_conn_cancel_timer(http_conn);
}

void http_conn_resume_body(struct http_conn *http_conn)
{
    if (!http_conn->is_body_paused || http_conn->is_gone)
        return;
    http_conn->is_body_paused = false;
    conn_resume(&http_conn->conn); /* on_bytes follows, in a later turn */
}
