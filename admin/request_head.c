/* The head of a request, and its body, as the door sees them (admin/request.h).
 *
 * A request that is refused while its body is still arriving is answered after the body, which is
 * discarded: a client that is still writing would miss an answer in the middle of its upload. Only
 * if the framing itself is ambiguous, or the body is too large to wait for, the answer is sent at
 * once and the connection is closed. */
#include "admin/request.h"

#include "admin/service.h"
#include "gateway/base/metrics.h"
#include "gateway/http/http_conn.h"

static const uint64_t max_discarded_bytes = 16 << 20; /* the body of a refused request */

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

static struct span request_path(const struct request *request)
{
    return http_part_span(request->head_bytes, request->head->path);
}

/* The authority of an absolute target stands for Host (RFC 9112, 3.2.2). A Host that is malformed,
 * which only an open path may have, counts as none. */
static void note_head(const struct request *request, struct guard_head *ret_head)
{
    const struct http_head *head = request->head;
    const char *bytes = request->head_bytes;
    *ret_head = (struct guard_head){.n_host = 0};
    for (unsigned i = 0; i < head->n_fields; i++)
        guard_note(ret_head, http_part_span(bytes, head->fields[i].name),
                   http_part_span(bytes, head->fields[i].value));
    ret_head->host = http_part_span(bytes, head->host);
    ret_head->n_host = head->host.len > 0;
}

static const char *why_other_media(const struct guard_head *head)
{
    if (head->is_encoded)
        return "send the body as it is: Content-Encoding is not taken";
    return "send the body as Content-Type: application/json (POST /push takes "
           "application/x-ndjson as well)";
}

static void find_route(struct request *request, const struct guard_head *head)
{
    struct span method = http_part_span(request->head_bytes, request->head->method);
    enum err error = route_find(request->service->routes, method, request_path(request),
                                guard_media(head), &request->match);
    request->is_encoded = error == ERR_UNSUPPORTED_MEDIA_TYPE && head->is_encoded;
    if (error != ERR_OK)
        refuse_head(request, error,
                    error == ERR_UNSUPPORTED_MEDIA_TYPE ? why_other_media(head) : NULL);
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
    struct admin_worker *home = request->home;
    const struct route *route = request->match.route;
    bool is_decided = request->refused == ERR_FORBIDDEN || request->refused == ERR_DRAINING;
    unsigned role = is_decided ? 0 : route == NULL ? ROLE_ADMIN : route->role;
    enum err error = access_check(home->service->access, &home->view, head->authorization, role,
                                  &request->account);
    request->keys = access_hold(&home->view);
    if (error == ERR_OK || (error == ERR_FORBIDDEN && route == NULL))
        return; /* with any key a client may learn that the path does not exist */
    request->refused = error;
    request->refused_field = NULL;
    request->refused_detail = why_no_access(error);
}

/* The route takes the body itself, while it arrives. */
static bool takes_its_body(const struct request *request)
{
    const struct route *route = request->match.route;
    return route != NULL && route->action->take != NULL;
}

/* From its first line on, a stop must not cut off the request. */
static void begin_own_body(struct request *request)
{
    request->match.route->action->begin(request);
    if (request->refused == ERR_OK)
        request_mark_running(request);
}

bool request_begin(struct request *request)
{
    struct service *service = request->home->service;
    struct guard_head head;
    uint64_t length;
    const char *detail;
    metrics_count(METRIC_ADMIN_REQUESTS);
    request_find_head(request);
    note_head(request, &head);
    enum err error = guard_framing(&head, &length, &detail);
    bool is_framed = error == ERR_OK;
    if (error == ERR_OK)
        error =
            guard_origin(&head, &service->rules, guard_is_health(request_path(request)), &detail);
    if (error != ERR_OK)
        refuse_head(request, error, detail);
    else if (service_is_stopping(service))
        refuse_head(request, ERR_DRAINING, NULL);
    else
        find_route(request, &head);
    if (!is_framed)
        return true;
    check_access(request, &head);
    if (request->refused == ERR_OK && takes_its_body(request))
        begin_own_body(request);
    else if (request->refused == ERR_OK && length > service->max_body_bytes)
        refuse_head(request, ERR_TOO_LARGE, "the body is larger than --max-body");
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

/* What has arrived is charged, and what the buffer grows by. */
static enum err append_body(struct request *request, const char *bytes, size_t len)
{
    size_t held = request->charge.small_bytes + request->charge.large_bytes;
    enum err error = buf_append(&request->body, bytes, len);
    if (error != ERR_OK || request->body.cap <= held)
        return error;
    return request_charge(request, request->body.cap - held) ? ERR_OK : ERR_BUSY;
}

bool request_take_body(struct request *request, const char *bytes, size_t *inout_len)
{
    size_t len = *inout_len;
    if (request->refused == ERR_OK && takes_its_body(request)) {
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

static bool is_loopback(const struct ip *ip)
{
    static const struct ip v6 = {{[15] = 1}};
    return ip_is_v4(ip) ? ip->bytes[12] == 127 : ip_equal(ip, &v6);
}

bool request_is_local(const struct request *request)
{
    if (request->service->rules.is_unix)
        return true;
    const struct peer *peer = request->conn == NULL ? NULL : http_conn_peer(request->conn);
    return peer != NULL && is_loopback(peer_address(peer));
}
