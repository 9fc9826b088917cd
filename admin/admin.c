/* Start and stop of the admin port. Its connections are served on the workers (admin/door), where
 * everything that belongs to a worker is made and closed too.
 *
 * The stop: open connections are still served, but with refusals and `Connection: close`, so that
 * no request is carried out whose answer might not be sent. This thread looks every few
 * milliseconds how far the workers are, and whether it has to hurry: then it waits for nobody. */
#include "admin/admin.h"

#include "admin/door.h"
#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/base/metrics.h"
#include "gateway/http/acceptor.h"
#include "gateway/http/acceptors.h"
#include "gateway/http/certificates.h"
#include "gateway/http/http_carry.h"
#include "gateway/http/listeners.h"
#include "gateway/identity/peers.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    HEAD_TIMEOUT_MS = 10000,
    /* 1000 of them may wait; with their bridges within OTHER_FILES of the limit of descriptors
     * (limits.c) */
    MAX_CONNECTIONS = BUDGET_REQUESTS,
    SHARE_OF_ADDRESS = 1100, /* the others are for other addresses */
    HEAD_MAX_BYTES = 8192,
    STOP_WAIT_MS = 5000,  /* a stop waits at most this long for the gateway, */
    STOP_FLUSH_MS = 2000, /* for answers to be written, */
    STOP_LEAVE_MS = 1000, /* for the clients to close their connections, */
    STOP_QUIET_MS = 250,  /* and for those while nothing comes */
    STOP_STILL_MS = 1000, /* a body or an answer that does not move for so long is cut off */
    STOP_LOOK_MS = 5,
};

static const char cannot_start[] = "the admin API could not start: out of memory or descriptors";

struct admin {
    struct door door;
    struct service *service;
    atomic_uint n_sockets;
    enum err error; /* of the first worker's part that could not be made */
};

/* ---- start ---- */

static void open_home(struct worker *worker, void *argument)
{
    struct admin *admin = argument;
    enum err error = door_open_home(&admin->door, worker, admin->service);
    if (admin->error == ERR_OK)
        admin->error = error;
}

static void close_home(struct worker *worker, void *argument)
{
    struct admin *admin = argument;
    door_close_home(&admin->door, worker);
}

static void count_refusal(unsigned status)
{
    (void)status;
    metrics_count(METRIC_ADMIN_REFUSED);
}

static void set_up_port(struct admin *admin, const struct options *options, struct node *node)
{
    struct http_port *port = &admin->door.port;
    http_port_init(port, node);
    port->on_request = door_on_request;
    port->is_open_path = guard_is_health;
    port->max_sockets = MAX_CONNECTIONS;
    port->n_sockets = &admin->n_sockets;
    port->is_ending = &admin->service->is_ending;
    port->accepted = METRIC_ADMIN_ACCEPTED;
    port->accept_errors = METRIC_ACCEPT_ERRORS;
    port->count_refused = count_refusal;
    port->log_malformed = door_log_malformed;
    port->conn_kind = HTTP_KIND_ADMIN;
    port->heads_give_way = true;
    port->is_uncounted = true;
    atomic_store(&port->limits.head_timeout_ms, HEAD_TIMEOUT_MS);
    atomic_store(&port->limits.idle_timeout_ms, options->admin_idle_timeout);
    atomic_store(&port->limits.stall_timeout_ms, options->admin_idle_timeout);
    atomic_store(&port->limits.max_head, HEAD_MAX_BYTES);
}

static enum err open_listeners(struct admin *admin, const struct options *options,
                               const struct given_listener *given, size_t n_given, char *why,
                               size_t why_cap)
{
    struct socket_rights rights;
    struct listen_address address;
    char *listen = options->admin_listen;
    const struct option_list addresses = {.values = &listen, .n = 1};
    enum err error = listen_address_parse(listen, &address);
    if (error != ERR_OK) {
        snprintf(why, why_cap, "--admin-listen must be HOST:PORT, [V6]:PORT or unix:PATH");
        return error;
    }
    error = socket_rights_read(options, &rights, why, why_cap);
    if (error == ERR_OK)
        error = listeners_adopt(&addresses, "admin-listen", &rights, given, n_given,
                                &admin->door.port.listeners, why, why_cap);
    return error;
}

static enum err open_homes(struct admin *admin, struct node *node)
{
    admin->door.homes = calloc(node->n_workers, sizeof(struct admin_worker *));
    if (admin->door.homes == NULL)
        return ERR_NO_MEMORY;
    worker_run_on_all(node, open_home, admin);
    return admin->error;
}

/* Connections may be open, also where the port was opened on some of the workers only. */
static void free_admin(struct admin *admin)
{
    struct http_port *port = &admin->door.port;
    acceptors_free_running(port);
    if (admin->door.homes != NULL)
        worker_run_on_all(port->node, close_home, admin);
    free(admin->door.homes);
    listeners_close(port->listeners);
    tls_context_free(port->tls);
    peers_free(port->peers);
    service_unref(admin->service);
    free(admin);
}

enum err admin_prepare(const struct options *options, const struct route_table *routes,
                       struct node *node, struct admin **ret_admin, char *why, size_t why_cap)
{
    struct admin *admin = calloc(1, sizeof *admin);
    snprintf(why, why_cap, "%s", cannot_start);
    if (admin == NULL)
        return ERR_NO_MEMORY;
    enum err error = service_new(options, routes, node, &admin->service, why, why_cap);
    if (error != ERR_OK) {
        free(admin);
        return error;
    }
    set_up_port(admin, options, node);
    error = peers_new_share(SHARE_OF_ADDRESS, &admin->door.port.peers);
    if (error == ERR_OK)
        error = certificates_open_admin(options, &admin->door.port.tls, why, why_cap);
    if (error == ERR_OK)
        error = open_homes(admin, node);
    if (error == ERR_OK)
        *ret_admin = admin;
    else
        free_admin(admin);
    return error;
}

enum err admin_listen(struct admin *admin, const struct options *options,
                      const struct given_listener *given, size_t n_given, char *why, size_t why_cap)
{
    enum err error = open_listeners(admin, options, given, n_given, why, why_cap);
    if (error != ERR_OK)
        return error;
    snprintf(why, why_cap, "%s", cannot_start);
    return acceptors_new(&admin->door.port);
}

enum err admin_accept(struct admin *admin)
{
    char where[300];
    struct http_port *port = &admin->door.port;
    listeners_settle(port->listeners);
    enum err error = acceptors_open_running(port);
    if (error != ERR_OK)
        return error;
    listeners_describe(port->listeners, where, sizeof where);
    log_event(LOG_INFO, "the admin API is served", LOG_TEXT("admin_listen", where),
              LOG_TEXT("tls", port->tls != NULL ? "on" : "off"));
    return ERR_OK;
}

enum err admin_start(const struct options *options, const struct route_table *routes,
                     struct node *node, struct admin **ret_admin, char *why, size_t why_cap)
{
    struct admin *admin;
    enum err error = admin_prepare(options, routes, node, &admin, why, why_cap);
    if (error != ERR_OK)
        return error;
    error = admin_listen(admin, options, NULL, 0, why, why_cap);
    if (error == ERR_OK)
        error = admin_accept(admin);
    if (error == ERR_OK)
        *ret_admin = admin;
    else
        free_admin(admin);
    return error;
}

struct http_port *admin_port(struct admin *admin)
{
    return &admin->door.port;
}

/* ---- stop ---- */

struct stop {
    struct admin *admin;
    int64_t begin_ms;
    bool (*is_urgent)(void *owner); /* NULL: never */
    void *owner;
};

/* What the workers have left to do. */
struct stop_look {
    struct admin *admin;
    unsigned n_requests; /* that have begun */
    unsigned n_waited;   /* complete requests, bodies of many lines, and answers on their way */
    int64_t quiet_ms;    /* nothing has come or was answered for so long */
};

/* What does not move is cut off. A client that reads nothing would hold up the stop of the node. */
static void look_at_home(struct worker *worker, void *argument)
{
    struct stop_look *look = argument;
    struct door *door = &look->admin->door;
    struct admin_worker *home = door->homes[worker->index];
    int64_t quiet_ms = worker_now_ms(worker) - home->active_ms;
    door_cut_quiet_bodies(home, STOP_STILL_MS);
    look->n_waited += acceptor_drop_unread(door->port.acceptors[worker->index], STOP_STILL_MS);
    look->n_waited += home->n_running;
    look->n_requests += home->n_requests;
    if (quiet_ms < look->quiet_ms)
        look->quiet_ms = quiet_ms;
}

static struct stop_look look_at_all(struct admin *admin)
{
    struct stop_look look = {.admin = admin, .quiet_ms = INT64_MAX};
    worker_run_on_all(admin->service->node, look_at_home, &look);
    return look;
}

static void cut_bodies_of_home(struct worker *worker, void *argument)
{
    struct admin *admin = argument;
    door_cut_quiet_bodies(admin->door.homes[worker->index], 0);
}

static void cut_bodies(struct admin *admin)
{
    worker_run_on_all(admin->service->node, cut_bodies_of_home, admin);
}

static void give_up_home(struct worker *worker, void *argument)
{
    struct admin *admin = argument;
    door_give_up(admin->door.homes[worker->index]);
}

/* Once it hurries, it does so to the end. */
static bool has_time(const struct stop *stop, int64_t end_ms)
{
    return (stop->is_urgent == NULL || !stop->is_urgent(stop->owner)) &&
           clock_monotonic_ms() < end_ms;
}

/* Waits until no request runs and no answer is on its way, at most `ms`. false: that was too short.
 */
static bool wait_until_answered(const struct stop *stop, int64_t ms)
{
    int64_t end_ms = clock_monotonic_ms() + ms;
    while (look_at_all(stop->admin).n_waited > 0) {
        if (!has_time(stop, end_ms))
            return false;
        usleep(STOP_LOOK_MS * 1000);
    }
    return true;
}

/* Waits until no connection is open, or the open ones have been silent for STOP_QUIET_MS, at most
 * until `end_ms`. A client between two requests sends the next one over the connection that it has,
 * and must get an answer that says `Connection: close`. */
static void wait_until_closed(const struct stop *stop, int64_t end_ms)
{
    while (atomic_load(&stop->admin->n_sockets) > 0 && has_time(stop, end_ms)) {
        struct stop_look look = look_at_all(stop->admin);
        if (look.n_requests == 0 && look.quiet_ms >= STOP_QUIET_MS &&
            clock_monotonic_ms() - stop->begin_ms >= STOP_QUIET_MS)
            break;
        usleep(STOP_LOOK_MS * 1000);
    }
}

/* A socket that is closed with bytes unread resets the answer: a client whose body was cut off has
 * a moment to read it. */
static void refuse_bodies(const struct stop *stop)
{
    cut_bodies(stop->admin);
    wait_until_answered(stop, STOP_FLUSH_MS);
    wait_until_closed(stop, clock_monotonic_ms() + STOP_QUIET_MS);
}

void admin_stop(struct admin *admin, bool (*is_urgent)(void *owner), void *owner)
{
    if (admin == NULL)
        return;
    struct stop stop = {admin, clock_monotonic_ms(), is_urgent, owner};
    atomic_store(&admin->service->is_ending, true);
    atomic_store(&admin->service->is_stopping, true);
    acceptors_end(&admin->door.port); /* clients that have connected by now get an answer */
    gateway_end_waits(admin->service->node);
    wait_until_answered(&stop, STOP_WAIT_MS);
    worker_run_on_all(admin->service->node, give_up_home, admin);
    if (!wait_until_answered(&stop, STOP_FLUSH_MS))
        cut_bodies(admin);
    wait_until_closed(&stop, stop.begin_ms + STOP_LEAVE_MS);
    refuse_bodies(&stop);
    free_admin(admin);
}

/* ---- before another process takes over ---- */

bool admin_quiesce(struct admin *admin)
{
    if (!atomic_exchange(&admin->service->is_ending, true))
        gateway_end_waits(admin->service->node);
    return http_carry_busy(&admin->door.port) == 0;
}

void admin_resume(struct admin *admin)
{
    atomic_store(&admin->service->is_ending, false);
    gateway_resume_waits(admin->service->node);
}

/* ---- reload and check ---- */

void admin_reload(struct admin *admin, bool must)
{
    access_reload(admin->service->access, must);
    if (must && admin->door.port.tls != NULL)
        certificates_reload(admin->door.port.tls);
}

enum err admin_check(const struct options *options, char *why, size_t why_cap)
{
    struct tls_context *tls;
    struct access *access;
    enum err error = certificates_open_admin(options, &tls, why, why_cap);
    if (error != ERR_OK)
        return error;
    tls_context_free(tls);
    error = access_open(options->admin_keys, options->max_admin_requests_per_key, 1, &access, why,
                        why_cap);
    if (error == ERR_OK)
        access_close(access);
    return error;
}
