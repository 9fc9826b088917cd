/* A connection begins with its request head, on any path. Then each data message is gathered, with
 * pings answered between its fragments, inflated where it is compressed, and sent back with its own
 * opcode, compressed where that was agreed and fits the client's window.
 *
 * Ends: a close frame is answered with its code, a violation with the code of the error. Then FIN
 * goes out after what is queued, and what still arrives is read and dropped until the client has
 * closed or two seconds are over: a socket closed with bytes unread would send RST, and the client
 * might lose the last frames. */
#include "tests/conformance/echo.h"

#include "proto/ws/deflate.h"
#include "proto/ws/extensions.h"
#include "proto/ws/handshake.h"
#include "proto/ws/ws_decoder.h"

#include <stdlib.h>
#include <unistd.h>

enum { MAX_MESSAGE_BYTES = 16 << 20, MAX_QUEUED_BYTES = 64 << 20, LINGER_MS = 2000 };

struct echo {
    struct conn conn;
    struct list link; /* in server->open, then in server->gone */
    struct echo_server *server;
    enum { ECHO_HEAD, ECHO_OPEN, ECHO_CLOSING } state;
    struct ws_decoder decoder;
    struct deflate_terms terms;
    struct buf message; /* the one under way */
    struct timer linger;
};

/* ---- its life ---- */

static void free_gone(struct reactor_task *task)
{
    struct echo_server *server = CONTAINER_OF(task, struct echo_server, bury);
    while (!list_is_empty(&server->gone)) {
        struct echo *echo = CONTAINER_OF(server->gone.next, struct echo, link);
        list_remove(&echo->link);
        buf_fini(&echo->message);
        free(echo);
    }
}

static void finish(struct echo *echo)
{
    timer_cancel(reactor_timers(echo->server->reactor), &echo->linger);
    conn_abandon(&echo->conn);
    list_remove(&echo->link);
    list_append(&echo->server->gone, &echo->link);
    reactor_at_turn_end(echo->server->reactor, &echo->server->bury);
}

static void on_gone(struct conn *conn, bool is_clean)
{
    (void)is_clean;
    finish(CONTAINER_OF(conn, struct echo, conn));
}

static void on_linger(struct timer *timer)
{
    finish(CONTAINER_OF(timer, struct echo, linger));
}

static void begin_closing(struct echo *echo)
{
    struct reactor *reactor = echo->server->reactor;
    echo->state = ECHO_CLOSING;
    conn_shutdown(&echo->conn);
    timer_set(reactor_timers(reactor), &echo->linger, reactor_now_ms(reactor) + LINGER_MS);
}

static void send_bytes(struct echo *echo, const void *bytes, size_t len)
{
    if (conn_queued_bytes(&echo->conn) + len > MAX_QUEUED_BYTES ||
        conn_write_bytes(&echo->conn, bytes, len) != ERR_OK)
        conn_break(&echo->conn);
}

/* code 0: without one. */
static void send_close(struct echo *echo, unsigned code)
{
    uint8_t frame[WS_CONTROL_FRAME_MAX_BYTES];
    send_bytes(echo, frame, ws_close_write(code, (struct span){0}, frame));
    begin_closing(echo);
}

/* ---- messages ---- */

static void send_message(struct echo *echo, uint8_t opcode, struct span payload, uint8_t rsv)
{
    uint8_t header[WS_HEADER_MAX_BYTES];
    size_t len = ws_header_write((enum ws_opcode)opcode, payload.len, header);
    header[0] |= rsv;
    send_bytes(echo, header, len);
    if (payload.len > 0)
        send_bytes(echo, payload.bytes, payload.len);
}

static void send_back(struct echo *echo, uint8_t opcode, struct span text)
{
    struct buf small;
    if (!deflate_fits(echo->terms.window_bits, text.len)) {
        send_message(echo, opcode, text, 0);
        return;
    }
    buf_init(&small, SIZE_MAX);
    if (deflater_message(echo->server->deflater, text, &small) == ERR_OK)
        send_message(echo, opcode, buf_span(&small), WS_RSV1);
    else
        conn_break(&echo->conn);
    buf_fini(&small);
}

static void on_compressed(struct echo *echo, uint8_t opcode)
{
    struct buf text;
    buf_init(&text, SIZE_MAX);
    enum err error = inflater_message(echo->server->inflater, buf_span(&echo->message),
                                      MAX_MESSAGE_BYTES, &text);
    if (error == ERR_OK && opcode == WS_TEXT && !utf8_is_valid(buf_span(&text)))
        error = ERR_BAD_UTF8;
    if (error == ERR_OK)
        send_back(echo, opcode, buf_span(&text));
    else
        send_close(echo, error_close_code(error));
    buf_fini(&text);
}

static void on_data(struct echo *echo, const struct ws_event *event)
{
    if (buf_append_span(&echo->message, event->payload) != ERR_OK) {
        conn_break(&echo->conn);
        return;
    }
    if (!event->is_last)
        return;
    if (event->is_compressed)
        on_compressed(echo, event->opcode);
    else
        send_back(echo, event->opcode, buf_span(&echo->message));
    buf_clear(&echo->message);
}

/* ---- frames ---- */

static void on_event(struct echo *echo, const struct ws_event *event)
{
    uint8_t frame[WS_CONTROL_FRAME_MAX_BYTES];
    switch (event->kind) {
    case WS_EVENT_DATA:
        on_data(echo, event);
        break;
    case WS_EVENT_PING:
        send_bytes(echo, frame, ws_control_write(WS_PONG, event->payload, frame));
        break;
    case WS_EVENT_CLOSE:
        send_close(echo, event->close_code == 1005 ? 0 : event->close_code);
        break;
    case WS_EVENT_MALFORMED:
        send_close(echo, error_close_code(event->error));
        break;
    case WS_EVENT_PONG:
    case WS_EVENT_MORE:
        break;
    }
}

/* The decoder sees `chop` bytes at a time, and more only while it asks for more. */
static size_t take_frames(struct echo *echo, uint8_t *bytes, size_t len)
{
    size_t chop = echo->server->chop;
    size_t taken = 0;
    size_t shown = 0;
    while (echo->state == ECHO_OPEN) {
        struct ws_event event;
        if (shown == 0)
            shown = chop < len - taken ? chop : len - taken;
        size_t n = ws_decoder_next(&echo->decoder, bytes + taken, shown, &event);
        taken += n;
        shown -= n;
        on_event(echo, &event);
        if (event.kind != WS_EVENT_MORE)
            continue;
        size_t hidden = len - taken - shown;
        if (hidden == 0)
            return taken;
        shown += chop < hidden ? chop : hidden;
    }
    return len; /* what follows a close or an error is not looked at */
}

/* ---- the opening handshake ---- */

static void refuse(struct echo *echo, enum err error)
{
    struct buf answer;
    unsigned status = error_http_status(error);
    buf_init(&answer, 512);
    if (buf_printf(&answer,
                   "HTTP/1.1 %u %s\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                   "Content-Length: 0\r\nConnection: close\r\n\r\n",
                   status != 0 ? status : 500, error_title(error)) == ERR_OK)
        send_bytes(echo, answer.bytes, answer.len);
    buf_fini(&answer);
    begin_closing(echo);
}

static enum err accept_upgrade(struct echo *echo, const struct http_head *head, const char *bytes)
{
    enum handshake_level level;
    char accept[HANDSHAKE_ACCEPT_LEN];
    char extensions[EXTENSIONS_ANSWER_MAX_BYTES];
    const char *detail;
    struct buf answer;
    enum err error = handshake_check(head, bytes, &level, accept, &detail);
    if (error == ERR_OK && echo->server->compress)
        error = extensions_choose(head, bytes, &echo->terms, &detail);
    if (error != ERR_OK)
        return error;
    buf_init(&answer, 1024);
    error =
        handshake_accept(&answer, level, accept, extensions_answer(echo->terms, extensions), "");
    if (error == ERR_OK)
        send_bytes(echo, answer.bytes, answer.len);
    buf_fini(&answer);
    return error;
}

static size_t take_head(struct echo *echo, const char *bytes, size_t len)
{
    struct http_head head;
    struct http_field room_of_fields[HTTP_HEAD_USUAL_FIELDS];
    http_head_init(&head, HTTP_HEAD_USUAL_BYTES, room_of_fields, HTTP_HEAD_USUAL_FIELDS);
    enum http_head_result result = http_head_parse(&head, bytes, len);
    if (result == HTTP_HEAD_MORE)
        return 0;
    enum err error = result == HTTP_HEAD_BAD ? head.error : accept_upgrade(echo, &head, bytes);
    if (error != ERR_OK) {
        refuse(echo, error);
        return len;
    }
    ws_decoder_init(&echo->decoder, MAX_MESSAGE_BYTES);
    if (echo->terms.window_bits != 0)
        ws_decoder_allow_compressed(&echo->decoder);
    echo->state = ECHO_OPEN;
    return head.len;
}

static size_t on_bytes(struct conn *conn, uint8_t *bytes, size_t len)
{
    struct echo *echo = CONTAINER_OF(conn, struct echo, conn);
    size_t taken = 0;
    if (echo->state == ECHO_HEAD) {
        taken = take_head(echo, (const char *)bytes, len);
        if (taken == 0)
            return 0;
    }
    return taken + take_frames(echo, bytes + taken, len - taken);
}

static const struct conn_ops ops = {.on_bytes = on_bytes, .on_gone = on_gone};

void echo_open(struct echo_server *server, int fd)
{
    struct transport_socket socket = {fd, &transport_plain};
    struct echo *echo = calloc(1, sizeof *echo);
    if (echo == NULL || conn_open(&echo->conn, &server->loop, &ops, socket) != ERR_OK) {
        free(echo);
        close(fd);
        return;
    }
    echo->server = server;
    buf_init(&echo->message, MAX_MESSAGE_BYTES);
    timer_init(&echo->linger, on_linger);
    list_append(&server->open, &echo->link);
}

/* ---- the server ---- */

enum err echo_server_init(struct echo_server *server, struct reactor *reactor)
{
    *server = (struct echo_server){.reactor = reactor, .chop = SIZE_MAX};
    list_init(&server->open);
    list_init(&server->gone);
    list_init(&server->bury.link);
    server->bury.run = free_gone;
    enum err error = conn_loop_init(&server->loop, reactor);
    if (error != ERR_OK)
        return error;
    error = deflater_new(&server->deflater);
    if (error != ERR_OK)
        goto undo_loop;
    error = inflater_new(&server->inflater);
    if (error != ERR_OK)
        goto undo_deflater;
    return ERR_OK;

undo_deflater:
    deflater_free(server->deflater);
undo_loop:
    conn_loop_fini(&server->loop);
    return error;
}

void echo_server_fini(struct echo_server *server)
{
    while (!list_is_empty(&server->open))
        finish(CONTAINER_OF(server->open.next, struct echo, link));
    reactor_task_cancel(&server->bury);
    free_gone(&server->bury);
    inflater_free(server->inflater);
    deflater_free(server->deflater);
    conn_loop_fini(&server->loop);
}
