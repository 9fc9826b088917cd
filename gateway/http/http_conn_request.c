/* What comes in on an HTTP connection. It collects a head (proto/http/http_head.c), at most
 * max_head within head_timeout_ms (the TLS handshake included), and hands it to on_request; a body
 * that is wanted goes to on_body, at once (try_body) or in pieces (http_conn_body.c).
 *
 * A connection that is kept (http_conn_keep) goes on when its answer is written. The bytes after
 * the request are the next one's head. They are parsed in the next turn of the loop, so that a peer
 * that sends many requests at once waits for its turn with each, and is never owed more than one
 * answer. With no bytes there the connection rests for idle_timeout_ms, and makes room for
 * others meanwhile. However much is sent ahead, at most HTTP_CONN_AHEAD_MAX_BYTES of it are held:
 * then nothing more is read until there is room again. */
#include "gateway/http/http_conn_parts.h"

#include <stdio.h>

/* Of a turn's budget: so 16 requests of a port are served in a turn of a worker. */
enum { REQUEST_COST_BYTES = 2 * CONN_READ_BYTES / 16 };

void http_conn_expect_head(struct http_conn *http_conn)
{
    size_t max_bytes = atomic_load(&http_conn_limits(http_conn)->max_head);
    if (http_conn->bytes.max == 0)
        buf_init(&http_conn->bytes, max_bytes + HTTP_CONN_AHEAD_MAX_BYTES);
    http_head_init(&http_conn->head, max_bytes, http_conn->all->fields,
                   max_bytes / HTTP_HEAD_FIELD_BYTES);
    http_conn->head.is_open_path = http_conn_port(http_conn)->is_open_path;
}

static void try_body(struct http_conn *http_conn)
{
    struct span bytes = http_conn_bytes(http_conn);
    if (bytes.len - http_conn->head.len < http_conn->body_len)
        return;
    void (*on_body)(struct http_conn *, struct span) = http_conn->on_body;
    http_conn->on_body = NULL;
    http_conn->is_waiting = true;
    on_body(http_conn, (struct span){bytes.bytes + http_conn->head.len, http_conn->body_len});
}

static void refuse_head(struct http_conn *http_conn)
{
    const struct http_head *head = &http_conn->head;
    char detail[160];
    snprintf(detail, sizeof detail, "%s: --max-head allows %u bytes and %u fields", head->detail,
             head->max_bytes, head->max_fields);
    if (http_conn_port(http_conn)->log_malformed != NULL)
        http_conn_port(http_conn)->log_malformed(head->detail);
    http_conn_refuse(http_conn, head->error,
                     head->error == ERR_HEAD_TOO_LARGE ? detail : head->detail, NULL, NULL);
}

static void serve_request(struct http_conn *http_conn)
{
    conn_spend_turn(&http_conn->conn, REQUEST_COST_BYTES);
    http_conn_own_port(http_conn)->on_request(http_conn);
    if (http_conn->is_gone || http_conn->is_answered)
        return;
    if (http_conn->on_body != NULL)
        try_body(http_conn);
    else if (http_conn->is_streaming)
        http_conn_pump_body(http_conn);
}

static void try_head(struct http_conn *http_conn)
{
    struct span bytes = http_conn_bytes(http_conn);
    switch (http_head_parse(&http_conn->head, bytes.bytes, bytes.len)) {
    case HTTP_HEAD_MORE:
        if (http_conn->is_half_closed)
            http_conn_close(http_conn); /* no more will come */
        else if (!http_conn->is_heading)
            http_conn_move(http_conn, &http_conn->all->heads);
        break;
    case HTTP_HEAD_BAD:
        refuse_head(http_conn);
        break;
    case HTTP_HEAD_DONE:
        if (peer_is_unresolved(http_conn->peer))
            peer_resolve_by_head(http_conn->peer, &http_conn->head, bytes.bytes);
        if (http_conn->is_heading)
            http_conn_move(http_conn, &http_conn->all->open);
        serve_request(http_conn);
        break;
    }
}

/* ---- the next request ---- */

/* The bytes of what was answered are over. */
static void drop_request(struct http_conn *http_conn)
{
    size_t here = http_conn_bytes(http_conn).len;
    size_t len = http_conn->head.len + http_conn->body_len;
    size_t n_over = len < here ? len : here;
    http_conn->n_skipped += len - n_over;
    http_conn->body_len = 0;
    http_conn->was_streamed = false;
    http_conn_expect_head(http_conn);
    if (http_conn->lent.bytes != NULL) {
        http_conn->lent.bytes += n_over;
        http_conn->lent.len -= n_over;
    } else {
        buf_consume(&http_conn->bytes, n_over);
        if (http_conn->bytes.len == 0)
            buf_clear(&http_conn->bytes);
    }
}

static void forget_request(struct http_conn *http_conn)
{
    drop_request(http_conn);
    http_conn->is_waiting = http_conn->is_answered = http_conn->is_readable = false;
    http_conn->is_kept = http_conn->may_be_kept = http_conn->is_body_paused = false;
    peer_next(http_conn->peer);
}

/* Some clients send an empty line after a body. It is not the begin of a request (RFC 9112, 2.2):
 * the connection rests all the same. */
static size_t empty_lines_len(struct span bytes)
{
    size_t at = 0;
    while (bytes.len - at >= 2 && bytes.bytes[at] == '\r' && bytes.bytes[at + 1] == '\n')
        at += 2;
    return at;
}

static void drop_empty_lines(struct buf *bytes)
{
    buf_consume(bytes, empty_lines_len(buf_span(bytes)));
    if (bytes->len == 0)
        buf_clear(bytes);
}

static bool has_room_to_read(const struct http_conn *http_conn)
{
    return http_conn->bytes.max - http_conn->bytes.len >= TRANSPORT_ROOM_BYTES;
}

/* A request that took its body has been read to its end, so what is read now are later ones. */
static void pause_without_room(struct http_conn *http_conn)
{
    if ((http_conn->is_waiting || http_conn->is_answered) && !http_conn->is_streaming &&
        !http_conn->is_gone && !has_room_to_read(http_conn))
        conn_pause(&http_conn->conn);
}

/* After the callbacks: the bytes will not stay where they were read. */
static void settle(struct http_conn *http_conn)
{
    if (http_conn->is_gone || (http_conn->is_answered && !http_conn->is_kept)) {
        http_conn->lent = SPAN_NONE;
        return;
    }
    if (http_conn->is_answered && http_conn->lent.bytes != NULL)
        drop_request(http_conn);
    if (http_conn_hold(http_conn))
        pause_without_room(http_conn);
}

static void rest_until_next(struct http_conn *http_conn)
{
    if (http_conn->is_half_closed) {
        http_conn_close(http_conn);
        return;
    }
    peer_rest(http_conn->peer);
    http_conn_move(http_conn, &http_conn->all->resting);
    http_conn_begin_to_linger(http_conn,
                              atomic_load(&http_conn_limits(http_conn)->idle_timeout_ms));
}

static void watch_for_head(struct http_conn *http_conn)
{
    http_conn_set_timer(http_conn, atomic_load(&http_conn_limits(http_conn)->head_timeout_ms));
}

static void begin_next_request(struct http_conn *http_conn)
{
    forget_request(http_conn);
    if (http_conn->n_skipped == 0)
        drop_empty_lines(&http_conn->bytes);
    if (has_room_to_read(http_conn) && !http_conn->is_half_closed)
        conn_resume(&http_conn->conn);
    if (http_conn->bytes.len == 0 && http_conn->n_skipped == 0) {
        rest_until_next(http_conn);
        return;
    }
    watch_for_head(http_conn);
    conn_set_bulk(&http_conn->conn, false);
    if (http_conn->bytes.len > 0) {
        try_head(http_conn);
        settle(http_conn);
    }
}

/* The answer is written. */
static void go_on(struct http_conn *http_conn)
{
    if (http_conn->is_kept)
        begin_next_request(http_conn);
    else if (http_conn->is_half_closed)
        http_conn_close(http_conn);
    else
        http_conn_move(http_conn, &http_conn->all->written);
}

void http_conn_on_next(struct letter *letter)
{
    struct http_conn *http_conn = CONTAINER_OF(letter, struct http_conn, next);
    const struct http_request_ops *ops = http_conn->ops;
    if (!http_conn->is_gone && http_conn_has_more_here(http_conn) &&
        !conn_has_turn(&http_conn->conn)) {
        mailbox_post(worker_mailbox(http_conn_worker(http_conn)), letter); /* in the next turn */
        return;
    }
    http_conn->is_next_posted = false;
    if (!http_conn->is_gone && !atomic_load(&http_conn_node(http_conn)->is_stopping)) {
        if (http_conn->is_answered && http_conn_unsent(http_conn) == 0)
            go_on(http_conn);
        else if (http_conn->is_answering && ops != NULL && ops->on_room != NULL)
            ops->on_room(http_conn);
    }
    http_conn_unpin(http_conn);
}

bool http_conn_half_close(struct http_conn *http_conn)
{
    const struct http_request_ops *ops = http_conn->ops;
    bool is_under_way = http_conn->is_waiting && !http_conn->is_answered && ops != NULL &&
                        ops->on_half_closed != NULL;
    bool is_unwritten =
        (http_conn->is_answered && http_conn->is_kept && http_conn_has_more_here(http_conn)) ||
        ((http_conn->is_answered || http_conn->is_answering) && http_conn_unsent(http_conn) > 0);
    if (!is_under_way && !is_unwritten)
        return false;
    http_conn->is_half_closed = true;
    conn_pause(&http_conn->conn); /* its end would be reported again and again */
    if (is_under_way && !http_conn->is_answering)
        ops->on_half_closed(http_conn);
    return true;
}

/* It has rested, and something comes. false: its address has too many connections now, and it is
 * refused. */
static bool wake_from_rest(struct http_conn *http_conn)
{
    http_conn_end_lingering(http_conn);
    http_conn_move(http_conn, &http_conn->all->open);
    watch_for_head(http_conn);
    enum err error = peer_wake(http_conn->peer);
    if (error != ERR_OK)
        http_conn_refuse(http_conn, error, NULL, NULL, NULL);
    return error == ERR_OK;
}

/* ---- bytes ---- */

/* A body that is not read passes by, before or after the answer is written, and so do empty lines
 * after a request. false: no byte is left of those that have come. */
static bool skip_bytes(struct http_conn *http_conn, uint8_t **bytes, size_t *len)
{
    bool is_resting = http_conn->is_lingering;
    size_t skipped = http_conn->n_skipped < *len ? http_conn->n_skipped : *len;
    http_conn->n_skipped -= skipped;
    if (http_conn->n_skipped == 0 && (skipped > 0 || is_resting))
        skipped += empty_lines_len((struct span){(const char *)*bytes + skipped, *len - skipped});
    *bytes += skipped;
    *len -= skipped;
    if (*len == 0 && http_conn->n_skipped == 0 && !is_resting && !http_conn->is_answered)
        rest_until_next(http_conn);
    return *len > 0;
}

/* Something of it is here already. */
static void add_bytes(struct http_conn *http_conn, const uint8_t *bytes, size_t len)
{
    if (buf_append(&http_conn->bytes, bytes, len) != ERR_OK) {
        http_conn_close(http_conn); /* out of memory */
        return;
    }
    if (http_conn->is_waiting || http_conn->is_answered)
        return; /* for later */
    if (http_conn->on_body != NULL)
        try_body(http_conn);
    else
        try_head(http_conn);
}

static void take_request_bytes(struct http_conn *http_conn, const uint8_t *bytes, size_t len)
{
    if (http_conn->is_streaming) {
        http_conn_stream(http_conn, bytes, len);
    } else if (http_conn->bytes.len > 0 || http_conn->is_waiting || http_conn->is_answered) {
        add_bytes(http_conn, bytes, len);
    } else {
        conn_set_bulk(&http_conn->conn, false);
        http_conn->lent = (struct span){(const char *)bytes, len};
        try_head(http_conn);
    }
    settle(http_conn);
}

size_t http_conn_on_bytes(struct conn *conn, uint8_t *bytes, size_t len)
{
    struct http_conn *http_conn = CONTAINER_OF(conn, struct http_conn, conn);
    size_t n_taken = len;
    if (http_conn->is_answered && !http_conn->is_kept)
        return len;
    if (http_conn->is_deferred) { /* its turn has come; nothing was read meanwhile */
        http_conn->is_deferred = false;
        serve_request(http_conn);
        settle(http_conn);
        return 0;
    }
    if (len == 0) { /* it is read again from now on */
        if (http_conn->is_streaming) {
            http_conn_pump_body(http_conn);
            settle(http_conn);
        }
        return 0;
    }
    if (skip_bytes(http_conn, &bytes, &len) &&
        (!http_conn->is_lingering || wake_from_rest(http_conn)))
        take_request_bytes(http_conn, bytes, len);
    return n_taken;
}

/* Nothing is left to write. */
void http_conn_on_drained(struct conn *conn)
{
    struct http_conn *http_conn = CONTAINER_OF(conn, struct http_conn, conn);
    if (http_conn->is_answering ||
        (http_conn->is_answered && http_conn->is_kept && http_conn_has_more_here(http_conn)))
        http_conn_go_on_later(http_conn);
    else if (http_conn->is_answered)
        go_on(http_conn);
}

void http_conn_refuse_late(struct http_conn *http_conn)
{
    http_conn->is_deferred = false;
    http_conn->is_late = true;
    serve_request(http_conn);
    settle(http_conn);
}
