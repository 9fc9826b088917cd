/* The happy path: door_on_request begins a request and wants its body; on_body collects it, and
 * with its last piece the request is executed here or carried to the library; the answer goes back
 * to the connection, which forgets its owner, and the request ends.
 *
 * The failures: a request that is refused is answered after its body, or at once where that makes
 * no sense (request_begin). A client that goes ends its request; what the gateway was asked to do
 * is done all the same. */
#include "admin/door.h"

#include "admin/bridge.h"
#include "admin/library.h"
#include "admin/request.h"
#include "gateway/base/log_limit.h"
#include "gateway/http/http_conn.h"

#include <stdio.h>

enum { FIELDS_MAX_BYTES = 256, PIECE_BYTES = 16384, UNSENT_MAX_BYTES = 65536 };

static struct request *request_of(struct http_conn *conn)
{
    return http_conn_owner(conn);
}

static void note_activity(struct admin_worker *home)
{
    home->active_ms = worker_now_ms(home->worker);
}

static void end_request(struct request *request)
{
    note_activity(request->home);
    request_end(request);
}

/* ---- answers ---- */

struct fields {
    char text[FIELDS_MAX_BYTES];
    size_t len;
};

/* The connection writes the type of the body itself. */
static void add_field(void *closure, const char *name, const char *value)
{
    struct fields *fields = closure;
    if (strcmp(name, "Content-Type") == 0)
        return;
    int len = snprintf(fields->text + fields->len, sizeof fields->text - fields->len, "%s: %s\r\n",
                       name, value);
    if (len > 0 && (size_t)len < sizeof fields->text - fields->len)
        fields->len += (size_t)len;
    fields->text[fields->len] = '\0';
}

/* As much as the client's connection takes. */
static void send_pieces(struct request *request)
{
    struct http_conn *conn = request->conn;
    char piece[PIECE_BYTES];
    while (!http_conn_is_gone(conn) && http_conn_unsent(conn) < UNSENT_MAX_BYTES) {
        ptrdiff_t len = request->read_more(request, piece, sizeof piece);
        if (len > 0) {
            http_conn_send_piece(conn, (struct span){piece, (size_t)len}, false);
            continue;
        }
        if (len == 0)
            http_conn_send_piece(conn, (struct span){0}, true);
        else
            http_conn_break_off(conn);
        end_request(request);
        return;
    }
}

/* A large answer stays the request's, with what is charged for it, until the client has read it. */
static void send_answer(struct request *request)
{
    int64_t len = -1;
    struct fields fields = {.text = ""};
    struct http_conn *conn = request->conn;
    if (request->out.has_failed) {
        http_conn_break_off(conn);
        end_request(request);
        return;
    }
    request_answer_fields(request, add_field, &fields);
    if (request->read_more == NULL && request->out.buf.len > UNSENT_MAX_BYTES) {
        request->read_more = request_read_answer;
        len = (int64_t)request->out.buf.len;
    }
    if (request->read_more != NULL) {
        http_conn_begin_answer(conn, request->status, request->content_type, fields.text, len);
        send_pieces(request);
        return;
    }
    http_conn_answer(conn, request->status, request->content_type, fields.text,
                     buf_span(&request->out.buf));
    end_request(request);
}

static void on_answered(struct request *request)
{
    http_conn_keep(request->conn);
    send_answer(request);
}

static void on_route_has_room(struct request *request)
{
    request->moved_ms = worker_now_ms(request->home->worker);
    http_conn_resume_body(request->conn);
}

static const struct request_engine door_engine = {.on_answered = on_answered,
                                                  .on_room = on_route_has_room};

/* ---- the library's answers ---- */

static void log_unserved(void)
{
    static struct log_limit failures = LOG_LIMIT(1000);
    log_limited(&failures, span_of("any"), LOG_WARN, "an admin request could not be served",
                LOG_TEXT("why", "out of memory or descriptors"));
}

static void on_no_bridge(struct request *request)
{
    log_unserved();
    request_refuse_with(request, ERR_BUSY, NULL, "out of memory or descriptors");
    on_answered(request);
}

static void on_bridge_broken(struct request *request)
{
    log_unserved();
    http_conn_break_off(request->conn);
    request->conn = NULL;
    end_request(request);
}

static const struct bridges_ops bridges_ops = {
    .on_sent = end_request, .on_unserved = on_no_bridge, .on_broken = on_bridge_broken};

/* ---- requests ---- */

static bool is_for_library(const struct request *request)
{
    return request->refused == ERR_OK && !request->match.route->action->is_direct;
}

static void execute(struct request *request)
{
    if (request_execute(request))
        on_answered(request);
}

static size_t on_body(struct http_conn *conn, struct span piece, bool is_last)
{
    struct request *request = request_of(conn);
    size_t left = piece.len;
    note_activity(request->home);
    request->moved_ms = request->home->active_ms;
    if (!request_take_body(request, piece.bytes, &left)) {
        http_conn_break_off(conn);
        request_client_gone(request);
        return piece.len;
    }
    if (!is_last || left > 0)
        return piece.len - left;
    if (is_for_library(request))
        bridge_carry(request->home->bridges, request);
    else
        execute(request);
    return piece.len;
}

/* The connection ends with the answer: where its next request begins is not known. */
static void on_bad_body(struct http_conn *conn, enum err error, const char *detail)
{
    struct request *request = request_of(conn);
    door_log_malformed(detail);
    request_fail(request, error, detail);
    send_answer(request);
}

static void on_half_closed(struct http_conn *conn)
{
    request_give_up(request_of(conn));
}

static void on_client_has_room(struct http_conn *conn)
{
    struct request *request = request_of(conn);
    if (request->read_more != NULL)
        send_pieces(request);
    else
        bridge_on_room(request);
}

static void on_client_gone(struct http_conn *conn)
{
    struct request *request = request_of(conn);
    note_activity(request->home);
    request->conn = NULL;
    bridge_abandon(request);
    request_client_gone(request);
}

static const struct http_request_ops request_ops = {
    .on_body = on_body,
    .on_bad_body = on_bad_body,
    .on_half_closed = on_half_closed,
    .on_room = on_client_has_room,
    .on_gone = on_client_gone,
};

/* The detail is the cause that is limited: it is a constant. */
void door_log_malformed(const char *detail)
{
    static struct log_limit causes = LOG_LIMIT(1000);
    log_limited(&causes, span_of(detail), LOG_INFO, "admin port", LOG_TEXT("detail", detail));
}

/* Answered before its body has come; the connection ends. */
static void answer_at_once(struct request *request)
{
    if (request->refused == ERR_BAD_HEAD)
        door_log_malformed(request->refused_detail);
    if (request_execute(request))
        send_answer(request);
}

void door_on_request(struct http_conn *conn)
{
    struct door *door = CONTAINER_OF(http_conn_port(conn), struct door, port);
    struct admin_worker *home = door->homes[http_conn_worker(conn)->index];
    struct request *request = request_new(home, &door_engine);
    const char *detail;
    note_activity(home);
    if (request == NULL) {
        http_conn_problem(conn, ERR_NO_MEMORY, NULL, NULL, NULL);
        return;
    }
    request->conn = conn;
    http_conn_own(conn, &request_ops, request);
    if (request_begin(request)) {
        answer_at_once(request);
        return;
    }
    enum err error = http_conn_take_body(conn, &detail);
    if (error == ERR_OK)
        return;
    request->refused = error;
    request->refused_detail = detail;
    answer_at_once(request);
}

/* ---- a worker's part ---- */

enum err door_open_home(struct door *door, struct worker *worker, struct service *service)
{
    struct admin_worker *home;
    enum err error = admin_worker_new(worker, service, &home);
    if (error != ERR_OK)
        return error;
    error = library_new(worker, &home->library);
    if (error == ERR_OK)
        error = bridges_new(home, &bridges_ops, &home->bridges);
    if (error != ERR_OK) {
        library_free(home->library);
        admin_worker_close(home);
        return error;
    }
    door->homes[worker->index] = home;
    return ERR_OK;
}

void door_close_home(struct door *door, struct worker *worker)
{
    struct admin_worker *home = door->homes[worker->index];
    if (home == NULL)
        return;
    bridges_close(home->bridges);
    library_free(home->library);
    bridges_free(home->bridges);
    admin_worker_close(home);
    door->homes[worker->index] = NULL;
}

/* The lines of many that are complete are answered; any other request is refused (run_route). The
 * connection ends with the answer, when it comes: the port is ending (http_port's is_ending). */
static void cut_body(struct request *request)
{
    request->is_cut = true;
    http_conn_pause_body(request->conn);
    execute(request);
}

void door_cut_quiet_bodies(struct admin_worker *home, int64_t quiet_ms)
{
    int64_t since_ms = worker_now_ms(home->worker) - quiet_ms;
    LIST_FOR_EACH_SAFE(link, &home->requests)
    {
        struct request *request = CONTAINER_OF(link, struct request, link);
        if (!request->is_complete && request->state == REQUEST_READING &&
            request->moved_ms <= since_ms)
            cut_body(request);
    }
}

void door_give_up(struct admin_worker *home)
{
    home->has_given_up = true;
    LIST_FOR_EACH_SAFE(link, &home->requests)
    {
        struct request *request = CONTAINER_OF(link, struct request, link);
        if (request->is_complete)
            request_overdue(request);
        else
            request_resume_late(request);
    }
}
