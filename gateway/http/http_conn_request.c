/* What comes in on an HTTP connection. It collects a head (proto/http/http_head.c), at most
 * --max-head within --head-timeout (the TLS handshake included), and hands it to on_request; a body
 * that is wanted goes to on_body.
 *
 * A connection that is kept (http_conn_keep) goes on when its answer is written. The bytes after
 * the request are the next one's head. They are parsed in the next turn of the loop, so that a peer
 * that sends many requests at once waits for its turn with each, and is never owed more than one
 * answer. With no bytes there the connection rests for HTTP_KEEP_S, and makes room for others
 * meanwhile. However much is sent ahead, at most HTTP_CONN_AHEAD_MAX_BYTES of it are held: then
 * nothing more is read until there is room again. */
#include "gateway/http/http_conn_parts.h"

#include <stdio.h>

static void try_body(struct http_conn *http_conn)
{
    if (http_conn->bytes.len - http_conn->head.len < http_conn->body_len)
        return;
    void (*on_body)(struct http_conn *, struct span) = http_conn->on_body;
    http_conn->on_body = NULL;
    http_conn->is_answered = true; /* it will be, and nothing more is read */
    on_body(http_conn,
            (struct span){http_conn->bytes.bytes + http_conn->head.len, http_conn->body_len});
}

static void refuse_head(struct http_conn *http_conn)
{
    const struct http_head *head = &http_conn->head;
    char detail[160];
    snprintf(detail, sizeof detail, "%s: --max-head allows %u bytes and %u fields", head->detail,
             head->max_bytes, head->max_fields);
    http_conn_refuse(http_conn, head->error,
                     head->error == ERR_HEAD_TOO_LARGE ? detail : head->detail, NULL, NULL);
}

static void serve_request(struct http_conn *http_conn)
{
    http_conn->all->on_request(http_conn);
    if (!http_conn->is_gone && !http_conn->is_answered && http_conn->on_body != NULL)
        try_body(http_conn);
}

static void try_head(struct http_conn *http_conn)
{
    switch (http_head_parse(&http_conn->head, http_conn->bytes.bytes, http_conn->bytes.len)) {
    case HTTP_HEAD_MORE:
        break;
    case HTTP_HEAD_BAD:
        refuse_head(http_conn);
        break;
    case HTTP_HEAD_DONE:
        if (peer_is_unresolved(http_conn->peer))
            peer_resolve_by_head(http_conn->peer, &http_conn->head, http_conn->bytes.bytes);
        serve_request(http_conn);
        break;
    }
}

/* ---- the next request ---- */

static void move_to_list(struct http_conn *http_conn, struct list *list)
{
    list_remove(&http_conn->link);
    list_append(list, &http_conn->link);
}

/* What was answered is over. */
static void forget_request(struct http_conn *http_conn)
{
    size_t len = http_conn->head.len + http_conn->body_len;
    size_t here = len < http_conn->bytes.len ? len : http_conn->bytes.len;
    http_conn->n_skipped = len - here;
    buf_consume(&http_conn->bytes, here);
    if (http_conn->bytes.len == 0)
        buf_clear(&http_conn->bytes);
    http_head_init(&http_conn->head, http_conn->head.max_bytes, http_conn->fields,
                   http_conn->head.max_fields);
    http_conn->is_waiting = http_conn->is_answered = http_conn->is_readable = false;
    http_conn->is_kept = http_conn->may_be_kept = false;
    peer_next(http_conn->peer);
}

static bool has_room_to_read(const struct http_conn *http_conn)
{
    return http_conn->bytes.max - http_conn->bytes.len >= TRANSPORT_ROOM_BYTES;
}

static void rest_until_next(struct http_conn *http_conn)
{
    peer_rest(http_conn->peer);
    move_to_list(http_conn, &http_conn->all->resting);
    http_conn_begin_to_linger(http_conn, HTTP_KEEP_S * 1000);
}

static void begin_next_request(struct http_conn *http_conn)
{
    forget_request(http_conn);
    if (has_room_to_read(http_conn))
        conn_resume(&http_conn->conn);
    if (http_conn->bytes.len == 0 && http_conn->n_skipped == 0) {
        rest_until_next(http_conn);
        return;
    }
    http_conn_set_timer(http_conn, http_conn_node(http_conn)->options->head_timeout);
    if (http_conn->bytes.len > 0)
        try_head(http_conn);
}

static void on_next_letter(struct letter *letter)
{
    struct http_conn *http_conn = CONTAINER_OF(letter, struct http_conn, next);
    if (!http_conn->is_gone && !atomic_load(&http_conn_node(http_conn)->is_stopping))
        begin_next_request(http_conn);
    http_conn_unpin(http_conn);
}

/* It has rested, and something comes. false: its address has too many connections now, and it is
 * refused. */
static bool wake_from_rest(struct http_conn *http_conn)
{
    http_conn->is_lingering = false;
    atomic_fetch_sub(&http_conn_node(http_conn)->n_lingering, 1);
    move_to_list(http_conn, &http_conn->all->open);
    http_conn_set_timer(http_conn, http_conn_node(http_conn)->options->head_timeout);
    enum err error = peer_wake(http_conn->peer);
    if (error != ERR_OK)
        http_conn_refuse(http_conn, error, NULL, NULL, NULL);
    return error == ERR_OK;
}

/* ---- bytes ---- */

/* A body that is not read passes by. false: that was all of it. */
static bool skip_body(struct http_conn *http_conn, uint8_t **bytes, size_t *len)
{
    size_t skipped = http_conn->n_skipped < *len ? http_conn->n_skipped : *len;
    http_conn->n_skipped -= skipped;
    *bytes += skipped;
    *len -= skipped;
    if (*len == 0 && http_conn->n_skipped == 0)
        rest_until_next(http_conn);
    return *len > 0;
}

static void take_request_bytes(struct http_conn *http_conn, const uint8_t *bytes, size_t len)
{
    if (buf_append(&http_conn->bytes, bytes, len) != ERR_OK) {
        http_conn_close(http_conn); /* out of memory */
        return;
    }
    if (http_conn->is_waiting || http_conn->is_answered) {
        if (!has_room_to_read(http_conn))
            conn_pause(&http_conn->conn);
    } else if (http_conn->on_body != NULL) {
        try_body(http_conn);
    } else {
        try_head(http_conn);
    }
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
        return 0;
    }
    if (len == 0) /* it is read again from now on */
        return 0;
    if (http_conn->is_lingering && !wake_from_rest(http_conn))
        return len;
    if (skip_body(http_conn, &bytes, &len))
        take_request_bytes(http_conn, bytes, len);
    return n_taken;
}

/* An HTTP connection writes nothing but its answer. */
void http_conn_on_drained(struct conn *conn)
{
    struct http_conn *http_conn = CONTAINER_OF(conn, struct http_conn, conn);
    if (!http_conn->is_kept) {
        move_to_list(http_conn, &http_conn->all->written);
    } else if (http_conn->bytes.len <= http_conn->head.len + http_conn->body_len) {
        begin_next_request(http_conn);
    } else {
        http_conn->pins++;
        worker_post(http_conn_worker(http_conn), &http_conn->next, on_next_letter);
    }
}

void http_conn_refuse_late(struct http_conn *http_conn)
{
    http_conn->is_deferred = false;
    http_conn->is_late = true;
    serve_request(http_conn);
}
