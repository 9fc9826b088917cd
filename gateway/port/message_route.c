/* The query, the media type and the user are checked before the body is read. The body is kept
 * until it is whole, and handed to node->take_message, which answers on this worker. A page that
 * goes before it has sent its body takes the work with it; one that goes later does not, because
 * the message is on its way, and its answer finds nobody. */
#include "gateway/port/message_route.h"

#include "gateway/node/client_message.h"
#include "gateway/port/route_user.h"
#include "proto/bytes/put.h"
#include "proto/json/json_scan.h"
#include "proto/json/json_text.h"
#include "proto/note/subscribe_query.h"

#include <stdlib.h>

/* In JSON each byte may become an escape of six. */
enum { ID_JSON_MAX_BYTES = 6 * CLIENT_ID_MAX_BYTES + 2 };

struct message_work {
    struct http_conn *http_conn;
    struct message_query query;
    struct buf id_json; /* with its quotes */
    struct buf body;
    bool is_taken; /* it lives until its answer */
};

static void free_work(struct message_work *work)
{
    buf_fini(&work->id_json);
    buf_fini(&work->body);
    free(work);
}

/* The answer's end; the work is freed. */
static void refuse_work(struct message_work *work, enum err error, const char *detail,
                        const char *field)
{
    http_conn_refuse(work->http_conn, error, detail, field, NULL);
    free_work(work);
}

/* ---- the answer ---- */

static void refuse_message(struct message_work *work, enum err error)
{
    if (error == ERR_RATE)
        refuse_work(work, ERR_RATE, "more messages than this server takes from a user in a second",
                    NULL);
    else if (error == ERR_TOO_LARGE)
        refuse_work(work, ERR_TOO_LARGE, "the message is longer than this server takes", "data");
    else if (error == ERR_FORBIDDEN)
        refuse_work(work, ERR_FORBIDDEN, "the user is blocked", NULL);
    else if (error == ERR_FULL)
        refuse_work(work, ERR_STORE_UNAVAILABLE, "too many events wait for the backends", NULL);
    else
        refuse_work(work, error, NULL, NULL);
}

static void accept_message(struct message_work *work)
{
    char body[ID_JSON_MAX_BYTES + sizeof "{\"id\":}\n"];
    char *at = PUT_LITERAL(body, "{\"id\":");
    at = put_span(at, buf_span(&work->id_json));
    at = PUT_LITERAL(at, "}\n");
    http_conn_answer(work->http_conn, 202, "application/json", NULL,
                     (struct span){body, (size_t)(at - body)});
    free_work(work);
}

static void on_answer(const struct client_message *message, enum err error)
{
    struct message_work *work = message->owner;
    struct http_conn *http_conn = work->http_conn;
    if (http_conn_is_gone(http_conn) || http_conn_is_answered(http_conn))
        free_work(work); /* the peer has gone */
    else if (error == ERR_OK)
        accept_message(work);
    else
        refuse_message(work, error);
    http_conn_unpin(http_conn);
}

/* ---- the message ---- */

/* The value without the white space around it. */
static bool read_json(struct span text, struct span *ret_data, const char **ret_why)
{
    struct json_scan scan;
    json_scan_init(&scan, text.len > 0 ? text : SPAN_LITERAL(""));
    json_scan_space(&scan);
    bool is_json = json_scan_value(&scan, ret_data) && json_scan_end(&scan);
    *ret_why = scan.why;
    return is_json;
}

static void take_message(struct message_work *work)
{
    struct http_conn *http_conn = work->http_conn;
    struct span data;
    const char *why;
    if (!read_json(buf_span(&work->body), &data, &why)) {
        refuse_work(work, ERR_BAD_JSON, why, NULL);
        return;
    }
    const struct client_message message = {
        .said =
            {
                .user_id = {work->query.user_id, work->query.user_id_len},
                .level = "http",
                .client_id = {work->id_json.bytes + 1, work->id_json.len - 2},
                .data = data,
            },
        .may_be_blocked = true,
        .worker = http_conn_worker(http_conn),
        .owner = work,
        .on_answer = on_answer,
    };
    http_conn_pin(http_conn);
    work->is_taken = true;
    enum err error = client_message_take(http_conn_node(http_conn), &message);
    if (error == ERR_OK) {
        buf_clear(&work->body);
        return;
    }
    refuse_message(work, error);
    http_conn_unpin(http_conn);
}

/* ---- the body ---- */

static size_t on_body(struct http_conn *http_conn, struct span piece, bool is_last)
{
    struct message_work *work = http_conn_owner(http_conn);
    enum err error = buf_append_span(&work->body, piece);
    if (error == ERR_FULL)
        refuse_work(work, ERR_TOO_LARGE, "the body is at most 64 KiB", NULL);
    else if (error != ERR_OK)
        refuse_work(work, error, NULL, NULL);
    else if (is_last)
        take_message(work);
    return piece.len;
}

static void on_bad_body(struct http_conn *http_conn, enum err error, const char *detail)
{
    refuse_work(http_conn_owner(http_conn), error, detail, NULL);
}

/* The peer has sent all that it has to send, and may read the answer. */
static void wait_for_answer(struct http_conn *http_conn)
{
    (void)http_conn;
}

static void on_gone(struct http_conn *http_conn)
{
    struct message_work *work = http_conn_owner(http_conn);
    if (!work->is_taken)
        free_work(work);
}

static const struct http_request_ops message_ops = {
    .on_body = on_body,
    .on_bad_body = on_bad_body,
    .on_half_closed = wait_for_answer,
    .on_gone = on_gone,
};

/* ---- the request ---- */

static bool is_too_long(struct http_conn *http_conn)
{
    size_t len;
    return http_conn_count_fields(http_conn, "Content-Length") > 0 &&
           !http_head_body_len(http_conn_head(http_conn), http_conn_bytes(http_conn).bytes,
                               CLIENT_MESSAGE_MAX_BYTES, &len);
}

/* false: it is refused. */
static bool read_head(struct http_conn *http_conn, struct message_work *work)
{
    const char *field = NULL;
    const char *detail = NULL;
    struct span query = http_conn_part(http_conn, http_conn_head(http_conn)->query);
    enum err error = message_query_parse(query, &work->query, &field, &detail);
    if (error == ERR_OK &&
        !http_head_is_json(http_conn_head(http_conn), http_conn_bytes(http_conn).bytes)) {
        error = ERR_UNSUPPORTED_MEDIA_TYPE;
        detail = "send the message as Content-Type: application/json";
    } else if (error == ERR_OK && is_too_long(http_conn)) {
        error = ERR_TOO_LARGE;
        detail = "the body is at most 64 KiB";
    } else if (error == ERR_OK) {
        error = json_text_string(&work->id_json, (struct span){work->query.id, work->query.id_len});
    }
    if (error == ERR_OK)
        return route_user_identify(http_conn, work->query.user_id, &work->query.user_id_len);
    http_conn_refuse(http_conn, error, detail, field, NULL);
    return false;
}

static void begin_body(struct http_conn *http_conn, struct message_work *work)
{
    const char *detail;
    http_conn_own(http_conn, &message_ops, work);
    enum err error = http_conn_take_body(http_conn, &detail);
    if (error != ERR_OK)
        refuse_work(work, error, detail, NULL);
}

void message_route_serve(struct http_conn *http_conn)
{
    if (atomic_load(&http_conn_node(http_conn)->is_refusing)) {
        http_conn_refuse(http_conn, ERR_DRAINING, NULL, NULL, NULL);
        return;
    }
    if (!http_conn_take_turn(http_conn)) {
        if (http_conn_is_late(http_conn))
            http_conn_refuse(http_conn, ERR_BUSY, NULL, NULL, NULL);
        return;
    }
    struct message_work *work = calloc(1, sizeof *work);
    if (work == NULL) {
        http_conn_refuse(http_conn, ERR_NO_MEMORY, NULL, NULL, NULL);
        return;
    }
    work->http_conn = http_conn;
    buf_init(&work->id_json, ID_JSON_MAX_BYTES);
    buf_init(&work->body, CLIENT_MESSAGE_MAX_BYTES);
    http_conn_count_work(http_conn, WORKER_ASK_US);
    if (read_head(http_conn, work))
        begin_body(http_conn, work);
    else
        free_work(work);
}
