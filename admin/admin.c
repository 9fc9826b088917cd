/* The daemon. libmicrohttpd calls `serve_request` several times for each request: once with the
 * head, once for each piece of the body, once at its end, and once more after a suspended
 * connection was resumed. `on_completed` ends the HTTP half of the request.
 *
 * The stop: the library ends by cutting off the connections that it has. Until then open
 * connections are still served, but with refusals and `Connection: close` (admin/pending), so that
 * no request is carried out whose answer might not be sent. */
#include "admin/admin.h"

#include "admin/admin_tls.h"
#include "admin/request.h"
#include "admin/service.h"
#include "gateway/base/listen_address.h"
#include "gateway/base/log_limit.h"
#include "gateway/base/metrics.h"
#include "gateway/net/listener.h"

#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

enum {
    /* 1000 of them may wait; within OTHER_FILES of the limit of descriptors (limits.c) */
    MAX_CONNECTIONS = 1200,
    /* the library's memory for a connection, the head included: 431 beyond */
    HEAD_MAX_BYTES = 8192,
    READ_STEP_BYTES = 4096,
    ANSWER_PIECE_BYTES = 16384,
};

struct admin {
    struct service *service;
    struct MHD_Daemon *daemon;
    struct admin_tls *tls; /* NULL: without */
    struct listen_address address;
    int fd;
};

/* Answers */

static bool is_get_request(struct request *request)
{
    return request->match.route != NULL && strcmp(request->match.route->method, "GET") == 0;
}

static void add_headers(struct request *request, struct MHD_Response *response, bool is_last)
{
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, request->content_type);
    if (is_get_request(request))
        MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    if (request->status == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, request->match.allow);
    if (request->status == MHD_HTTP_SERVICE_UNAVAILABLE ||
        request->status == MHD_HTTP_TOO_MANY_REQUESTS)
        MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, "1");
    if (request->status == 401)
        MHD_add_response_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer");
    if (is_last)
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
}

/* An answer in pieces holds a reference to its request until the library has finished with it. */

static ssize_t read_answer(void *closure, uint64_t at, char *out, size_t cap)
{
    struct request *request = closure;
    (void)at;
    ptrdiff_t len = request->read_more(request, out, cap);
    if (len > 0)
        return len;
    return len == 0 ? MHD_CONTENT_READER_END_OF_STREAM : MHD_CONTENT_READER_END_WITH_ERROR;
}

static void end_answer(void *closure)
{
    request_unref(closure);
}

static struct MHD_Response *make_response(struct request *request)
{
    struct json_out *out = &request->out;
    struct MHD_Response *response;
    if (request->read_more != NULL) {
        response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, ANSWER_PIECE_BYTES,
                                                     read_answer, request, end_answer);
        if (response != NULL)
            request_ref(request);
        return response;
    }
    response = MHD_create_response_from_buffer(out->buf.len, out->buf.bytes, MHD_RESPMEM_MUST_FREE);
    if (response != NULL)
        buf_init(&out->buf, 0); /* the response owns the bytes now */
    return response;
}

/* MHD_NO: out of memory, and the connection is closed without an answer. */
static enum MHD_Result queue_answer(struct request *request, bool is_last)
{
    if (request->out.has_failed)
        return MHD_NO;
    struct MHD_Response *response = make_response(request);
    if (response == NULL)
        return MHD_NO;
    add_headers(request, response, is_last || pending_is_stopping(&request->service->pending));
    enum MHD_Result result = MHD_queue_response(request->connection, request->status, response);
    MHD_destroy_response(response);
    return result;
}

/* Requests */

static void run_request(struct request *request)
{
    if (request->pending.is_running || pending_enter(&request->pending))
        request_run(request);
    else
        request_refuse_with(request, ERR_DRAINING, NULL, NULL);
}

static enum MHD_Result begin_request(struct service *service, struct MHD_Connection *connection,
                                     const char *method, const char *path, void **ret_request)
{
    struct request *request = request_new(service, connection);
    metrics_count(METRIC_ADMIN_REQUESTS);
    if (request == NULL)
        return MHD_NO;
    *ret_request = request;
    pending_begin(&request->pending);
    if (!request_begin(request, method, path))
        return MHD_YES;
    run_request(request);
    return queue_answer(request, true);
}

static enum MHD_Result complete_request(struct request *request)
{
    request->is_complete = true;
    run_request(request);
    if (request->status == 0) {
        if (!pending_wait(&request->pending))
            return MHD_YES;
        request_finish(request);
    }
    return queue_answer(request, false);
}

static enum MHD_Result serve_request(void *closure, struct MHD_Connection *connection,
                                     const char *path, const char *method, const char *version,
                                     const char *bytes, size_t *len, void **inout_request)
{
    struct request *request = *inout_request;
    (void)version;
    if (request == NULL)
        return begin_request(closure, connection, method, path, inout_request);
    if (*len > 0)
        return request_take_body(request, bytes, len) ? MHD_YES : MHD_NO;
    if (!request->is_complete)
        return complete_request(request);
    request_finish(request);
    return queue_answer(request, false);
}

static void on_completed(void *closure, struct MHD_Connection *connection, void **inout_request,
                         enum MHD_RequestTerminationCode code)
{
    struct request *request = *inout_request;
    (void)closure;
    (void)connection;
    (void)code;
    if (request == NULL)
        return;
    *inout_request = NULL;
    pending_leave(&request->pending);
    request_unref(request);
}

static void on_connection(void *closure, struct MHD_Connection *connection, void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct service *service = closure;
    (void)connection;
    (void)socket_context;
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        pending_connected(&service->pending);
    else
        pending_disconnected(&service->pending);
}

/* The library must not decode the path: it is split first (route_find), so that an encoded slash
 * stays inside its segment. */
static size_t leave_escaped(void *closure, struct MHD_Connection *connection, char *text)
{
    (void)closure;
    (void)connection;
    return strlen(text);
}

__attribute__((format(printf, 2, 0))) static void log_library(void *closure, const char *format,
                                                              va_list args)
{
    static struct log_limit complaints = LOG_LIMIT(1000);
    char text[LOG_TEXT_MAX_BYTES];
    (void)closure;
    if (vsnprintf(text, sizeof text, format, args) < 0)
        return;
    text[strcspn(text, "\n")] = '\0';
    /* The format is the cause that is limited: its arguments may come from the request. */
    log_limited(&complaints, span_of(format), LOG_INFO, "admin port", LOG_TEXT("detail", text));
}

/* Start and stop */

static struct MHD_Daemon *start_daemon(int fd, struct service *service,
                                       const struct options *options, bool has_tls)
{
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
    /* Without TLS the list ends before its last two options. */
    enum MHD_OPTION first_of_tls = has_tls ? MHD_OPTION_HTTPS_CERT_CALLBACK2 : MHD_OPTION_END;
    return MHD_start_daemon(
        has_tls ? flags | MHD_USE_TLS : flags, 0, NULL, NULL, serve_request, service,
        MHD_OPTION_EXTERNAL_LOGGER, log_library, NULL, /* must be the first option */
        MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, service, MHD_OPTION_UNESCAPE_CALLBACK,
        leave_escaped, NULL, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)(options->admin_idle_timeout / 1000), MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)MAX_CONNECTIONS, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEAD_MAX_BYTES,
        MHD_OPTION_CONNECTION_MEMORY_INCREMENT, (size_t)READ_STEP_BYTES, first_of_tls,
        admin_tls_callback(), MHD_OPTION_HTTPS_PRIORITIES, ADMIN_TLS_PRIORITIES, MHD_OPTION_END);
}

static bool has_library_tls(void)
{
    return MHD_is_feature_supported(MHD_FEATURE_SSL) == MHD_YES &&
           MHD_is_feature_supported(MHD_FEATURE_HTTPS_CERT_CALLBACK2) == MHD_YES;
}

enum err admin_start(const struct options *options, const struct route_table *routes,
                     struct node *node, struct admin **ret_admin, char *why, size_t why_cap)
{
    enum err error = ERR_NO_MEMORY;
    snprintf(why, why_cap, "the admin API could not start: out of memory or threads");
    struct admin *admin = calloc(1, sizeof *admin);
    if (admin == NULL)
        goto failed;
    error = listen_address_parse(options->admin_listen, &admin->address);
    if (error != ERR_OK) {
        snprintf(why, why_cap, "--admin-listen must be HOST:PORT, [V6]:PORT or unix:PATH");
        goto free_admin;
    }
    error = admin_tls_new(options, &admin->tls, why, why_cap);
    if (error != ERR_OK)
        goto free_admin;
    error = ERR_INVALID_FIELD;
    if (admin->tls != NULL && !has_library_tls()) {
        snprintf(why, why_cap,
                 "--admin-tls-cert: this machine's libmicrohttpd was built without TLS");
        goto free_tls;
    }
    struct socket_rights rights;
    error = socket_rights_read(options, &rights, why, why_cap);
    if (error == ERR_OK)
        error = listener_open(&admin->address, &rights, "admin-listen", &admin->fd, why, why_cap);
    if (error != ERR_OK)
        goto free_tls;
    error = service_new(options, routes, node, &admin->service, why, why_cap);
    if (error != ERR_OK)
        goto close_listener;
    error = ERR_SYSTEM;
    snprintf(why, why_cap, "the admin API could not start: out of memory or threads");
    admin->daemon = start_daemon(admin->fd, admin->service, options, admin->tls != NULL);
    if (admin->daemon == NULL)
        goto free_service;

    char where[300];
    listener_describe(admin->fd, where, sizeof where);
    log_event(LOG_INFO, "the admin API is served", LOG_TEXT("admin_listen", where),
              LOG_TEXT("tls", admin->tls != NULL ? "on" : "off"));
    *ret_admin = admin;
    return ERR_OK;

free_service:
    pending_stop(&admin->service->pending);
    service_unref(admin->service);
close_listener:
    listener_close(admin->fd, &admin->address);
free_tls:
    admin_tls_free(admin->tls);
free_admin:
    free(admin);
failed:
    return error;
}

/* Clients that have connected by now get an answer. The kernel refuses later ones at once, not only
 * when the descriptor is closed. */
static void end_listening(struct admin *admin)
{
    int fd;
    struct sockaddr_storage peer;
    socklen_t peer_len = sizeof peer;
    while ((fd = accept4(admin->fd, (struct sockaddr *)&peer, &peer_len,
                         SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        pending_hand_over(&admin->service->pending);
        /* On failure the library has closed the socket, and the stop waits for it in vain, briefly.
         */
        (void)MHD_add_connection(admin->daemon, fd, (struct sockaddr *)&peer, peer_len);
        peer_len = sizeof peer;
    }
    shutdown(admin->fd, SHUT_RDWR);
}

void admin_stop(struct admin *admin)
{
    if (admin == NULL)
        return;
    bool is_quiet = MHD_quiesce_daemon(admin->daemon) != MHD_INVALID_SOCKET;
    if (is_quiet)
        end_listening(admin);
    gateway_end_waits(admin->service->node);
    pending_stop(&admin->service->pending);
    MHD_stop_daemon(admin->daemon);
    /* Otherwise the daemon has closed the socket itself. */
    if (is_quiet)
        listener_close(admin->fd, &admin->address);
    service_unref(admin->service);
    admin_tls_free(admin->tls);
    free(admin);
}

void admin_reload(struct admin *admin, bool must)
{
    access_reload(admin->service->access, must);
    if (must && admin->tls != NULL)
        admin_tls_reload(admin->tls);
}

enum err admin_check(const struct options *options, char *why, size_t why_cap)
{
    struct admin_tls *tls;
    struct access *access;
    enum err error = admin_tls_new(options, &tls, why, why_cap);
    if (error != ERR_OK)
        return error;
    admin_tls_free(tls);
    error = access_open(options->admin_keys, options->max_admin_requests_per_key, &access, why,
                        why_cap);
    if (error == ERR_OK)
        access_close(access);
    return error;
}
