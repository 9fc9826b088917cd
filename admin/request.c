/* The happy path: request_begin checks the head and finds the route, request_take_body collects the
 * body, and request_run calls the route, which either replies or hands the request to the gateway.
 * In the second case request_finish lets the route write the answer.
 *
 * The failures: a request that is refused while its body is still arriving is answered after the
 * body, which is discarded: a client that is still writing would miss an answer in the middle of
 * its upload. Only if the framing itself is ambiguous, or the body is too large to wait for, the
 * answer is sent at once and the connection is closed. */
#include "admin/request.h"

#include "admin/service.h"
#include "gateway/base/log.h"
#include "gateway/base/metrics.h"
#include "proto/bytes/decimal.h"

#include <inttypes.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>

static const size_t max_charged_bytes = (size_t)256 << 20; /* bodies and targets of all requests */
static const size_t max_answer_bytes = (size_t)64 << 20;
static const uint64_t max_discarded_bytes = 16 << 20; /* the body of a refused request */

static int connection_fd(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *found =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    return found == NULL ? -1 : found->connect_fd;
}

static struct request *request_of(struct pending_request *pending)
{
    return CONTAINER_OF(pending, struct request, pending);
}

static void suspend_connection(struct pending_request *pending)
{
    MHD_suspend_connection(request_of(pending)->connection);
}

static void resume_connection(struct pending_request *pending)
{
    MHD_resume_connection(request_of(pending)->connection);
}

static void free_request(struct pending_request *pending)
{
    struct request *request = request_of(pending);
    struct service *service = request->service;
    const struct route *route = request->match.route;
    if (route != NULL && route->action->end != NULL)
        route->action->end(request);
    buf_fini(&request->body);
    json_out_fini(&request->out);
    atomic_fetch_sub_explicit(&service->charged_bytes, request->charged_bytes,
                              memory_order_relaxed);
    free(request);
    service_unref(service);
}

struct request *request_new(struct service *service, struct MHD_Connection *connection)
{
    static const struct pending_owner owner = {suspend_connection, resume_connection, free_request};
    struct request *request = calloc(1, service->request_bytes);
    if (request == NULL)
        return NULL;
    pending_request_init(&request->pending, &service->pending, &owner, connection_fd(connection));
    request->service = service_ref(service);
    request->connection = connection;
    buf_init(&request->body, service->max_body_bytes);
    json_out_init(&request->out, max_answer_bytes);
    return request;
}

void request_ref(struct request *request)
{
    pending_request_ref(&request->pending);
}

void request_unref(struct request *request)
{
    pending_request_unref(&request->pending);
}

bool request_charge(struct request *request, size_t bytes)
{
    atomic_size_t *charged = &request->service->charged_bytes;
    size_t before = atomic_fetch_add_explicit(charged, bytes, memory_order_relaxed);
    if (before > max_charged_bytes || bytes > max_charged_bytes - before) {
        atomic_fetch_sub_explicit(charged, bytes, memory_order_relaxed);
        return false;
    }
    request->charged_bytes += bytes;
    return true;
}

/* The head */

void request_refuse_head(struct request *request, enum err error, const char *field,
                         const char *detail)
{
    if (request->refused != ERR_OK)
        return;
    request->refused = error;
    request->refused_field = field;
    request->refused_detail = detail;
}

static void refuse_head(struct request *request, enum err error, const char *detail)
{
    request_refuse_head(request, error, NULL, detail);
}

static enum MHD_Result note_header(void *closure, enum MHD_ValueKind kind, const char *name,
                                   size_t name_len, const char *value, size_t value_len)
{
    (void)kind;
    guard_note(closure, (struct span){name, name_len},
               (struct span){value, value == NULL ? 0 : value_len});
    return MHD_YES;
}

static void find_route(struct request *request, const char *method, const char *path,
                       const struct guard_head *head)
{
    enum err error = route_find(request->service->routes, method, span_of(path), guard_media(head),
                                &request->match);
    const char *detail = NULL;
    if (error == ERR_UNSUPPORTED_MEDIA_TYPE)
        detail = "send the body as Content-Type: application/json (POST /push takes "
                 "application/x-ndjson as well)";
    if (error != ERR_OK)
        refuse_head(request, error, detail);
}

static const char *why_no_access(enum err error)
{
    if (error == ERR_FORBIDDEN)
        return "the key is of another role";
    if (error == ERR_RATE)
        return "the key has made its --max-admin-requests-per-key of this second";
    return "send Authorization: Bearer KEY with a key of --admin-keys";
}

/* Without a key every path is refused alike, so that a stranger does not learn which exist. */
static void check_access(struct request *request, const struct guard_head *head)
{
    if (request->refused == ERR_FORBIDDEN || request->refused == ERR_DRAINING)
        return;
    const struct route *route = request->match.route;
    unsigned role = route == NULL ? ROLE_ADMIN : route->role;
    enum err error = access_check(request->service->access, head->authorization, role);
    if (error == ERR_OK || (error == ERR_FORBIDDEN && route == NULL))
        return; /* with any key a client may learn that the path does not exist */
    request->refused = error;
    request->refused_field = NULL;
    request->refused_detail = why_no_access(error);
}

/* The route takes the body itself, while it arrives. */
static bool has_streamed_body(const struct request *request)
{
    const struct route *route = request->match.route;
    return route != NULL && route->action->take != NULL;
}

static void expect_body(struct request *request, uint64_t length)
{
    if (has_streamed_body(request)) {
        request->match.route->action->begin(request);
        return;
    }
    if (length > request->service->max_body_bytes)
        refuse_head(request, ERR_TOO_LARGE, "the body is larger than --max-body");
    else if (length > 0 &&
             (!request_charge(request, length) || buf_reserve(&request->body, length) != ERR_OK))
        refuse_head(request, ERR_BUSY, "too many large requests at once");
}

bool request_begin(struct request *request, const char *method, const char *path)
{
    struct guard_head head = {.is_forwarded = false};
    uint64_t length;
    const char *detail;
    MHD_get_connection_values_n(request->connection, MHD_HEADER_KIND, note_header, &head);
    enum err error = guard_framing(&head, &length, &detail);
    if (error != ERR_OK) {
        refuse_head(request, error, detail);
        return true;
    }
    error = guard_origin(&head, &request->service->rules, guard_is_health(span_of(path)), &detail);
    if (error != ERR_OK)
        refuse_head(request, error, detail);
    else if (pending_is_stopping(&request->service->pending))
        refuse_head(request, ERR_DRAINING, NULL);
    else
        find_route(request, method, path, &head);
    check_access(request, &head);
    if (request->refused == ERR_OK)
        expect_body(request, length);
    /* A client that waits for `100 Continue` gets its answer instead. */
    return request->refused != ERR_OK && (head.has_expect || length > max_discarded_bytes);
}

/* The body */

static bool discard_body(struct request *request, size_t len)
{
    buf_clear(&request->body);
    request->discarded_bytes += len;
    return request->discarded_bytes <= max_discarded_bytes;
}

/* For a body without Content-Length: the buffer grows, and its growth is charged. */
static enum err append_body(struct request *request, const char *bytes, size_t len)
{
    size_t cap = request->body.cap;
    enum err error = buf_append(&request->body, bytes, len);
    if (error != ERR_OK || request->body.cap == cap || request->body.cap <= request->charged_bytes)
        return error;
    return request_charge(request, request->body.cap - request->charged_bytes) ? ERR_OK : ERR_BUSY;
}

bool request_take_body(struct request *request, const char *bytes, size_t *inout_len)
{
    size_t len = *inout_len;
    if (request->refused == ERR_OK && has_streamed_body(request)) {
        request->match.route->action->take(request, bytes, inout_len);
        return true;
    }
    *inout_len = 0;
    if (request->refused != ERR_OK)
        return discard_body(request, len);
    enum err error = append_body(request, bytes, len);
    if (error == ERR_OK)
        return true;
    if (error == ERR_FULL)
        refuse_head(request, ERR_TOO_LARGE, "the body is larger than --max-body");
    else
        refuse_head(request, ERR_BUSY, "too many large requests at once");
    return discard_body(request, len);
}

/* The work */

void request_run(struct request *request)
{
    if (request->refused != ERR_OK) {
        request_refuse_with(request, request->refused, request->refused_field,
                            request->refused_detail);
        return;
    }
    request->match.route->action->run(request);
}

void request_hand_over(struct request *request)
{
    request_ref(request);
    pending_working(&request->pending);
}

void request_done(struct request *request)
{
    pending_done(&request->pending);
    request_unref(request);
}

void request_finish(struct request *request)
{
    if (pending_is_done(&request->pending) || has_streamed_body(request))
        request->match.route->action->finish(request);
    else
        request_refuse_with(request, ERR_STORE_UNAVAILABLE, NULL, PROBLEM_LATE_DETAIL);
}

/* The answer */

void request_reply(struct request *request, unsigned status)
{
    if (request->out.has_failed) {
        request_refuse_with(request, ERR_NO_MEMORY, NULL, NULL);
        return;
    }
    request->status = status;
    if (request->content_type == NULL)
        request->content_type = "application/json";
}

/* splitmix64: request ids have to differ, not to be secret. */
static uint64_t next_id(struct service *service)
{
    uint64_t z = service->id_state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static void write_refusal(struct request *request, const struct problem *problem)
{
    char id[REQUEST_ID_LEN + 1];
    char refusal[STORE_PROBLEM_MAX_BYTES];
    struct problem whole = *problem;
    if (whole.error == ERR_STORE_UNAVAILABLE && whole.detail == NULL) {
        gateway_store_refusal(request->service->node, refusal);
        whole.detail = refusal;
    }
    snprintf(id, sizeof id, "%016" PRIx64, next_id(request->service));
    whole.request_id = id;
    json_out_fini(&request->out);
    json_out_init(&request->out, max_answer_bytes);
    problem_write(&request->out, &whole);
    request->status = problem_status(problem->error);
    request->content_type = PROBLEM_CONTENT_TYPE;
    metrics_count(METRIC_ADMIN_REFUSED);
    log_event(LOG_DEBUG, "admin request refused", LOG_TEXT("request", id),
              LOG_INT("status", request->status),
              LOG_TEXT("detail", whole.detail == NULL ? "" : whole.detail));
}

void request_refuse_with(struct request *request, enum err error, const char *field,
                         const char *detail)
{
    struct problem problem = {.error = error, .field = field, .detail = detail};
    write_refusal(request, &problem);
}

void request_refuse_json(struct request *request, const struct json_problem *problem)
{
    struct problem whole = problem_from_json(problem);
    write_refusal(request, &whole);
}

/* The parts of the address, and headers */

bool request_path_user(struct request *request, struct span *ret_user)
{
    size_t len;
    const char *detail = "userId must be 1 to 128 bytes";
    enum err error = percent_decode(request->match.segments[0], false, request->user_id,
                                    sizeof request->user_id, &len);
    if (error == ERR_INVALID_FIELD)
        detail = "userId has a bad percent-escape";
    else if (error == ERR_OK)
        error = user_id_check((struct span){request->user_id, len}, &detail);
    if (error != ERR_OK) {
        request_refuse_with(request, ERR_INVALID_FIELD, "userId", detail);
        return false;
    }
    *ret_user = (struct span){request->user_id, len};
    return true;
}

bool request_path_message(struct request *request, struct epoch *ret_epoch, uint64_t *ret_seq)
{
    char id[MESSAGE_ID_MAX_BYTES];
    size_t len;
    if (percent_decode(request->match.segments[1], false, id, sizeof id, &len) == ERR_OK &&
        message_id_parse((struct span){id, len}, ret_epoch, ret_seq) == ERR_OK)
        return true;
    request_refuse_with(request, ERR_INVALID_FIELD, "id", "a message id is EPOCH-SEQ");
    return false;
}

struct value_search {
    struct span name;
    bool is_header; /* compared without case */
    unsigned n;
    struct span value;
};

static enum MHD_Result note_value(void *closure, enum MHD_ValueKind kind, const char *name,
                                  size_t name_len, const char *value, size_t value_len)
{
    struct value_search *search = closure;
    struct span found = {name, name_len};
    (void)kind;
    if (search->is_header ? span_equal_nocase(found, search->name)
                          : span_equal(found, search->name)) {
        search->n++;
        search->value = (struct span){value, value == NULL ? 0 : value_len};
    }
    return MHD_YES;
}

unsigned request_header(struct request *request, const char *name, struct span *ret_value)
{
    struct value_search search = {.name = span_of(name), .is_header = true};
    MHD_get_connection_values_n(request->connection, MHD_HEADER_KIND, note_value, &search);
    *ret_value = span_trim(search.value);
    return search.n;
}

enum err request_query(struct request *request, const char *name, char *out, size_t cap)
{
    struct value_search search = {.name = span_of(name)};
    size_t len;
    MHD_get_connection_values_n(request->connection, MHD_GET_ARGUMENT_KIND, note_value, &search);
    if (search.n == 0)
        return ERR_NOT_FOUND;
    if (search.n > 1 || percent_decode(search.value, true, out, cap - 1, &len) != ERR_OK ||
        memchr(out, '\0', len) != NULL)
        return ERR_INVALID_FIELD;
    out[len] = '\0';
    return ERR_OK;
}

bool request_query_number(struct request *request, const char *name, uint64_t min, uint64_t max,
                          uint64_t *ret_number)
{
    char text[24];
    char detail[80];
    uint64_t number;
    enum err error = request_query(request, name, text, sizeof text);
    if (error == ERR_NOT_FOUND)
        return true;
    if (error == ERR_OK && decimal_read(span_of(text), max, &number) && number >= min) {
        *ret_number = number;
        return true;
    }
    snprintf(detail, sizeof detail, "%s must be a number, %" PRIu64 "..%" PRIu64, name, min, max);
    request_refuse_with(request, ERR_INVALID_FIELD, name, detail);
    return false;
}
