/* The library calls `serve_request` several times for each request: once with its head, once for
 * each piece of the body, once at its end, and once more after the connection was resumed.
 * `on_completed` ends the library's half of the request.
 *
 * Four things to know about the library here. It must not be stopped while a connection is
 * suspended, so library_free resumes all of them and lets the daemon see it. Its own timeouts are
 * not used, because it has none for suspended connections: the deadlines are the requests'
 * (admin/request). Whoever adds a connection is told of it only when the daemon runs, so a new one
 * is found by its descriptor. And its default is at most 1020 connections. */
#include "admin/library.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    /* Of a connection: a path as long as the door's heads are, and the head of the answer. The
     * library clears all of it after each request. */
    POOL_BYTES = 12288,
    POOL_STEP_BYTES = 4096,
    CONNECTIONS_MAX = 65536,
};

struct library {
    struct worker *worker;
    struct MHD_Daemon *daemon;
    struct reactor_watch watch; /* the daemon's epoll descriptor */
    struct reactor_task run;
    struct list fresh; /* connections that the daemon has not begun */
    struct list begun;
};

/* Answers */

static void add_field(void *closure, const char *name, const char *value)
{
    MHD_add_response_header(closure, name, value);
}

/* The answer stays the request's: the library's reference keeps it until the answer is written.
 * MHD_NO: out of memory, and the connection is closed without an answer. */
static enum MHD_Result queue_answer(struct library_conn *conn)
{
    struct request *request = conn->request;
    struct buf *body = &request->out.buf;
    if (request->out.has_failed || request->status == 0)
        return MHD_NO;
    struct MHD_Response *response =
        MHD_create_response_from_buffer(body->len, body->bytes, MHD_RESPMEM_PERSISTENT);
    if (response == NULL)
        return MHD_NO;
    request_answer_fields(request, add_field, response);
    enum MHD_Result result = MHD_queue_response(conn->connection, request->status, response);
    MHD_destroy_response(response);
    return result;
}

/* Requests */

static enum MHD_Result execute_request(struct library_conn *conn)
{
    conn->is_executed = true;
    if (request_execute(conn->request))
        return queue_answer(conn);
    conn->is_suspended = true;
    MHD_suspend_connection(conn->connection);
    return MHD_YES;
}

void library_resume(struct library_conn *conn)
{
    if (!conn->is_suspended)
        return;
    conn->is_suspended = false;
    MHD_resume_connection(conn->connection);
    reactor_at_turn_end(conn->library->worker->reactor, &conn->library->run);
}

static void on_answered(struct request *request)
{
    library_resume(request->exchange);
}

/* A request whose client has gone is not carried out, or not answered. */
static enum MHD_Result serve_request(void *closure, struct MHD_Connection *connection,
                                     const char *path, const char *method, const char *version,
                                     const char *bytes, size_t *len, void **inout_conn)
{
    (void)closure, (void)path, (void)method, (void)version;
    const union MHD_ConnectionInfo *found =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct library_conn *conn = found->socket_context;
    struct request *request = conn->request;
    if (request == NULL || request->conn == NULL)
        return MHD_NO;
    if (*inout_conn == NULL) {
        *inout_conn = conn;
        return MHD_YES;
    }
    if (*len > 0) {
        enum err error = buf_append(&request->body, bytes, *len);
        *len = 0;
        return error == ERR_OK ? MHD_YES : MHD_NO;
    }
    return conn->is_executed ? queue_answer(conn) : execute_request(conn);
}

static void end_exchange(struct library_conn *conn)
{
    struct request *request = conn->request;
    conn->request = NULL;
    if (request != NULL)
        request_unref(request);
}

static void on_completed(void *closure, struct MHD_Connection *connection, void **inout_conn,
                         enum MHD_RequestTerminationCode code)
{
    (void)closure, (void)connection, (void)code;
    struct library_conn *conn = *inout_conn;
    *inout_conn = NULL;
    if (conn != NULL)
        end_exchange(conn);
}

/* Connections */

static int fd_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *found =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    return found == NULL ? -1 : found->connect_fd;
}

static struct library_conn *find_fresh(struct library *library, int fd)
{
    LIST_FOR_EACH(link, &library->fresh)
    {
        struct library_conn *conn = CONTAINER_OF(link, struct library_conn, link);
        if (conn->fd == fd)
            return conn;
    }
    return NULL;
}

static void on_connection(void *closure, struct MHD_Connection *connection, void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct library *library = closure;
    struct library_conn *conn = *socket_context;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        conn = find_fresh(library, fd_of(connection));
        *socket_context = conn;
        conn->connection = connection;
        list_remove(&conn->link);
        list_append(&library->begun, &conn->link);
        return;
    }
    list_remove(&conn->link);
    end_exchange(conn); /* one whose head has not come */
    conn->on_closed(conn);
}

enum err library_add(struct library *library, struct library_conn *conn, int fd)
{
    struct sockaddr_un from = {.sun_family = AF_UNIX};
    conn->library = library;
    conn->fd = fd;
    list_append(&library->fresh, &conn->link);
    if (MHD_add_connection(library->daemon, fd, (struct sockaddr *)&from, sizeof from) == MHD_YES) {
        reactor_at_turn_end(library->worker->reactor, &library->run);
        return ERR_OK;
    }
    list_remove(&conn->link);
    return errno == ENOMEM ? ERR_NO_MEMORY : ERR_SYSTEM;
}

void library_expect(struct library_conn *conn, struct request *request)
{
    static const struct request_engine engine = {.on_answered = on_answered};
    request_ref(request);
    request->engine = &engine;
    request->exchange = conn;
    conn->request = request;
    conn->is_executed = conn->is_suspended = false;
}

/* The daemon */

static void run_daemon(struct library *library)
{
    MHD_UNSIGNED_LONG_LONG left_ms;
    MHD_run(library->daemon);
    if (MHD_get_timeout(library->daemon, &left_ms) == MHD_YES && left_ms == 0)
        reactor_in_next_turn(library->worker->reactor, &library->run);
}

static void on_run_task(struct reactor_task *task)
{
    run_daemon(CONTAINER_OF(task, struct library, run));
}

static void on_daemon_ready(struct reactor_watch *watch, uint32_t events)
{
    struct library *library = CONTAINER_OF(watch, struct library, watch);
    (void)events;
    reactor_at_turn_end(library->worker->reactor, &library->run);
}

/* The path was split before it is decoded (route_find), and nothing else of it is read here. */
static size_t leave_escaped(void *closure, struct MHD_Connection *connection, char *text)
{
    (void)closure, (void)connection;
    return strlen(text);
}

static struct MHD_Daemon *start_daemon(struct library *library)
{
    unsigned flags = MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME |
                     MHD_USE_SUPPRESS_DATE_NO_CLOCK;
    return MHD_start_daemon(
        flags, 0, NULL, NULL, serve_request, library, MHD_OPTION_NOTIFY_COMPLETED, on_completed,
        NULL, MHD_OPTION_NOTIFY_CONNECTION, on_connection, library, MHD_OPTION_UNESCAPE_CALLBACK,
        leave_escaped, NULL, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)POOL_BYTES,
        MHD_OPTION_CONNECTION_MEMORY_INCREMENT, (size_t)POOL_STEP_BYTES, MHD_OPTION_END);
}

static enum err watch_daemon(struct library *library)
{
    const union MHD_DaemonInfo *found =
        MHD_get_daemon_info(library->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    if (found == NULL || found->epoll_fd < 0)
        return ERR_SYSTEM;
    library->watch = (struct reactor_watch){.on_ready = on_daemon_ready, .fd = found->epoll_fd};
    return reactor_watch_add(library->worker->reactor, &library->watch, EPOLLIN);
}

enum err library_new(struct worker *worker, struct library **ret_library)
{
    struct library *library = calloc(1, sizeof *library);
    if (library == NULL)
        return ERR_NO_MEMORY;
    library->worker = worker;
    library->run.run = on_run_task;
    list_init(&library->run.link);
    list_init(&library->fresh);
    list_init(&library->begun);
    library->daemon = start_daemon(library);
    enum err error = library->daemon == NULL ? ERR_SYSTEM : watch_daemon(library);
    if (error != ERR_OK) {
        if (library->daemon != NULL)
            MHD_stop_daemon(library->daemon);
        free(library);
        return error;
    }
    *ret_library = library;
    return ERR_OK;
}

void library_free(struct library *library)
{
    if (library == NULL)
        return;
    LIST_FOR_EACH_SAFE(link, &library->begun)
    {
        library_resume(CONTAINER_OF(link, struct library_conn, link));
    }
    reactor_task_cancel(&library->run);
    reactor_watch_remove(library->worker->reactor, &library->watch);
    MHD_run(library->daemon); /* it must see them before it is stopped */
    MHD_stop_daemon(library->daemon);
    free(library);
}
