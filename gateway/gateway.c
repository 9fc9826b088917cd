/* Puts the parts together and takes them apart again.
 *
 * Start: the listening sockets first (the commonest failure), then the reactors, then the store,
 * which may run its links on them, then the threads. Stop: the sessions are sent their close frames
 * and have a moment to go, the workers end, and the store answers what is under way. Letters that
 * no worker reads any more are delivered on this thread, so that what they hold is freed. */
#include "gateway/gateway.h"

#include "gateway/base/clock.h"
#include "gateway/base/hash.h"
#include "gateway/base/log.h"
#include "gateway/base/metrics.h"
#include "gateway/delivery/delivery.h"
#include "gateway/delivery/positions.h"
#include "gateway/delivery/replay.h"
#include "gateway/http/acceptor.h"
#include "gateway/http/acceptors.h"
#include "gateway/http/certificates.h"
#include "gateway/http/http_port.h"
#include "gateway/http/listeners.h"
#include "gateway/identity/auth.h"
#include "gateway/identity/peers.h"
#include "gateway/limits.h"
#include "gateway/net/socket_rights.h"
#include "gateway/node/health.h"
#include "gateway/node/refusals.h"
#include "gateway/port/handover.h"
#include "gateway/port/port_routes.h"
#include "gateway/requests/blocked.h"
#include "gateway/requests/broadcast.h"
#include "gateway/requests/nodes.h"
#include "gateway/requests/push.h"
#include "gateway/requests/push_waits.h"
#include "gateway/requests/questions.h"
#include "gateway/session/session_close.h"
#include "gateway/session/session_life.h"
#include "gateway/stores/stores.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    GOODBYE_MS = 1000,
    HEAD_SOCKETS = 256,
    /* An idle connection rests longer than proxies keep theirs, so that no proxy sends a request
     * into a connection that is just being closed. */
    KEEP_S = 75,
};

static const struct session_events session_events = {
    .on_identified = handover_identified,
    .on_acked = positions_acked,
    .on_drained = replay_drained,
    .on_leave = delivery_leave,
};

static void drain_worker(struct worker *worker);
static void close_worker(struct worker *worker);

static const worker_command_fn command_fns[COMMANDS] = {
    [COMMAND_STORE_IS_BACK] = replay_try_again,
    [COMMAND_DRAIN] = drain_worker,
    [COMMAND_END_WAITS] = push_waits_stop,
    [COMMAND_CLOSE] = close_worker,
};

static void on_store_state(void *owner, bool is_up)
{
    struct node *node = owner;
    metrics_set(METRIC_STORE_UP, is_up);
    if (is_up)
        atomic_store(&node->was_store_up, true);
    if (atomic_exchange(&node->is_store_up, is_up) == is_up || !is_up)
        return;
    for (unsigned i = 0; i < node->n_workers; i++) {
        if (node->workers[i] == NULL)
            return; /* still starting: no session waits */
    }
    worker_command_all(node, COMMAND_STORE_IS_BACK);
}

/* What --store means, without what belongs to this node. */
static struct store_config store_config_of(const struct options *options)
{
    return (struct store_config){
        .url = options->store,
        .redis_prefix = options->redis_prefix,
        .redis_wait_replicas = (int)options->redis_wait_replicas,
        .redis_tls_ca = options->redis_tls_ca,
        .redis_tls_cert = options->redis_tls_cert,
        .redis_tls_key = options->redis_tls_key,
        .redis_tls_name = options->redis_tls_name,
        .redis_sentinel_auth = options->redis_sentinel_auth,
        .inbox_max = (uint32_t)options->inbox_max,
        .inbox_max_bytes = (uint64_t)options->inbox_max_bytes,
        .max_bytes = (uint64_t)options->store_max_bytes,
        .idempotency_window_s = (uint32_t)(options->idempotency_window / 1000),
        .idempotency_max = (uint32_t)options->idempotency_max,
    };
}

static enum err open_store(struct node *node, char *why, size_t why_cap)
{
    const struct options *options = node->options;
    struct reactor **lanes = calloc(node->n_workers, sizeof(struct reactor *));
    if (lanes == NULL)
        return ERR_NO_MEMORY;
    for (unsigned i = 0; i < node->n_workers; i++)
        lanes[i] = node->workers[i]->reactor;
    struct store_config config = store_config_of(options);
    config.lanes = lanes;
    config.n_lanes = node->n_workers;
    config.events = (struct store_events){push_on_inbox_event,
                                          push_on_missed,
                                          on_store_state,
                                          broadcast_on_received,
                                          questions_on_asked,
                                          push_waits_on_watch,
                                          push_waits_on_watch_answer,
                                          .get_known = push_get_known,
                                          .on_blocked = blocked_on_found};
    config.owner = node;
    config.node_name = node->name;
    config.name = nodes_name(node->nodes);
    enum err error = store_open(&config, &node->store, why, why_cap);
    free(lanes);
    return error;
}

static unsigned count_cores(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > 256 ? 256 : (unsigned)n;
}

static void drain_client(struct client *client, void *argument)
{
    (void)argument;
    LIST_FOR_EACH(link, &client->sessions)
    {
        session_drain(CONTAINER_OF(link, struct session, link));
    }
}

static void drain_worker(struct worker *worker)
{
    LIST_FOR_EACH(link, &worker->unauthenticated)
    {
        session_drain(CONTAINER_OF(link, struct session, link));
    }
    client_map_each(worker->node->map, worker->index, drain_client, NULL);
    nodes_say(worker);
}

static void on_second(struct worker *worker)
{
    replay_try_again(worker);
    nodes_say(worker);
}

static enum err make_workers(struct node *node)
{
    node->workers = calloc(node->n_workers, sizeof(struct worker *));
    if (node->workers == NULL)
        return ERR_NO_MEMORY;
    for (unsigned i = 0; i < node->n_workers; i++) {
        enum err error = worker_new(node, i, on_second, &node->workers[i]);
        if (error == ERR_OK)
            error = delivery_new(node->workers[i]);
        if (error != ERR_OK)
            return error;
    }
    return acceptors_new(node->port);
}

static enum err start_workers(struct node *node)
{
    enum err error = acceptors_open(node->port);
    if (error != ERR_OK)
        return error;
    for (unsigned i = 0; i < node->n_workers; i++) {
        error = worker_start(node->workers[i]);
        if (error != ERR_OK)
            return error;
        node->n_started++;
    }
    return ERR_OK;
}

static void set_port_limits(struct http_port *port, const struct options *options)
{
    atomic_store(&port->limits.head_timeout_ms, options->head_timeout);
    atomic_store(&port->limits.stall_timeout_ms, options->head_timeout);
    atomic_store(&port->limits.max_head, (unsigned)options->max_head);
}

static enum err make_port(struct node *node)
{
    struct http_port *port = malloc(sizeof *port);
    if (port == NULL)
        return ERR_NO_MEMORY;
    http_port_init(port, node);
    port->on_request = port_routes_serve;
    port->is_open_path = port_routes_is_open;
    port->max_sockets = node->max_connections + HEAD_SOCKETS;
    port->n_sockets = &node->n_sockets;
    port->is_ending = &node->is_draining;
    port->accepted = METRIC_ACCEPTED;
    port->accept_errors = METRIC_ACCEPT_ERRORS;
    port->count_refused = refusals_count;
    port->conn_kind = HTTP_KIND_SUBSCRIBERS;
    port->has_pages = true;
    /* A proxy's connection counts from its beginning: --head-timeout, and its health checks. */
    port->awaits_bytes = node->options->trusted_proxy.n == 0;
    port->limits.idle_timeout_ms = KEEP_S * 1000;
    set_port_limits(port, node->options);
    node->port = port;
    return ERR_OK;
}

static enum err open_listeners(struct node *node, char *why, size_t why_cap)
{
    struct socket_rights rights;
    enum err error = socket_rights_read(node->options, &rights, why, why_cap);
    if (error == ERR_OK)
        error = listeners_open(&node->options->listen, "listen", &rights, &node->port->listeners,
                               why, why_cap);
    return error;
}

static enum err open_parts(struct node *node, char *why, size_t why_cap)
{
    enum err error = hash_init();
    if (error != ERR_OK)
        return error;
    error = make_port(node);
    if (error != ERR_OK)
        return error;
    error = certificates_open(node->options, &node->port->tls, why, why_cap);
    if (error != ERR_OK)
        return error;
    error = open_listeners(node, why, why_cap);
    if (error != ERR_OK)
        return error;
    error = auth_open(node->options, &node->auth, why, why_cap);
    if (error != ERR_OK)
        return error;
    error = peers_new(node->options, &node->port->peers);
    if (error != ERR_OK)
        return error;
    error = client_map_new(node->n_workers, (uint32_t)node->options->session_max_bytes,
                           delivery_on_letter, &node->map);
    if (error == ERR_OK)
        error = push_waits_new(node->n_workers, &node->wait_table);
    if (error == ERR_OK)
        error = nodes_new(node, &node->nodes);
    if (error == ERR_OK)
        error = make_workers(node);
    if (error == ERR_OK)
        error = open_store(node, why, why_cap);
    if (error == ERR_OK)
        error = start_workers(node);
    return error;
}

enum err gateway_start(const struct options *options, struct node **ret_node, char *why,
                       size_t why_cap)
{
    struct node *node = calloc(1, sizeof *node);
    snprintf(why, why_cap, "the gateway cannot start: out of memory or of descriptors");
    if (node == NULL)
        return ERR_NO_MEMORY;
    atomic_init(&node->options, options);
    node_name_choose(options->node_name, node->name);
    node->session_events = &session_events;
    node->command_fns = command_fns;
    node->delivery_events.on_position = push_waits_acked;
    node->n_workers = options->workers > 0 ? (unsigned)options->workers : count_cores();
    node->max_connections = limits_max_connections(options);
    node->pages_at_once = REPLAY_PAGES_AT_ONCE;
    node->started_ms = clock_monotonic_ms();
    /* Connection ids go on from the clock, so that two runs do not share them in a log. */
    atomic_init(&node->next_connection, (uint64_t)clock_wall_ms() << 4);

    enum err error = open_parts(node, why, why_cap);
    if (error != ERR_OK) {
        gateway_stop(node);
        return error;
    }
    char where[LOG_TEXT_MAX_BYTES];
    listeners_describe(node->port->listeners, where, sizeof where);
    log_event(LOG_INFO, "subscribers are served", LOG_TEXT("listen", where),
              LOG_TEXT("node", node->name), LOG_INT("workers", node->n_workers),
              LOG_TEXT("store", store_kind(node->store)),
              LOG_INT("max_connections", node->max_connections),
              LOG_TEXT("tls", node->port->tls != NULL ? "on" : "off"));
    *ret_node = node;
    return ERR_OK;
}

static void begin_drain(struct node *node, uint32_t drain_ms)
{
    if (atomic_exchange(&node->has_begun_drain, true))
        return;
    atomic_store(&node->drain_ends_ms, clock_monotonic_ms() + drain_ms);
    atomic_store(&node->is_draining, true); /* after its end, which its readers read next */
    log_event(LOG_INFO, "draining", LOG_INT("drain_ms", drain_ms));
    metrics_set(METRIC_DRAINING, 1);
    gateway_end_waits(node); /* those that would acknowledge are on their way out */
    worker_command_all(node, COMMAND_DRAIN);
}

uint32_t gateway_drain(struct node *node)
{
    uint32_t drain_ms = limits_drain_ms(node->options);
    begin_drain(node, drain_ms);
    return drain_ms;
}

bool gateway_is_drained(const struct node *node)
{
    return atomic_load(&node->n_sessions) == 0;
}

static void close_client(struct client *client, void *argument)
{
    (void)argument;
    session_close_all(client, ERR_RESTART, SPAN_NONE);
}

static void close_unauthenticated(struct worker *worker)
{
    while (!list_is_empty(&worker->unauthenticated)) /* each leaves the list as it closes */
        session_close(CONTAINER_OF(worker->unauthenticated.next, struct session, link),
                      ERR_RESTART);
}

static void close_worker(struct worker *worker)
{
    acceptor_close(worker->node->port->acceptors[worker->index]);
    close_unauthenticated(worker);
    push_waits_stop(worker);
    client_map_each(worker->node->map, worker->index, close_client, NULL);
}

static void close_sessions(struct node *node)
{
    begin_drain(node, 0);
    atomic_store(&node->is_stopping, true);
    worker_command_all(node, COMMAND_CLOSE);
    for (int waited_ms = 0; waited_ms < GOODBYE_MS && atomic_load(&node->n_sockets) > 0;
         waited_ms += 10)
        usleep(10 * 1000);
    nodes_leave(node);
}

static void deliver_all_mail(struct node *node)
{
    size_t n;
    do {
        n = 0;
        for (unsigned i = 0; i < node->n_workers; i++)
            n += mailbox_deliver(worker_mailbox(node->workers[i]));
    } while (n > 0);
}

/* The workers have ended: what is left belongs to this thread. */
static void close_parts(struct node *node)
{
    for (unsigned i = 0; i < node->n_workers; i++)
        close_worker(node->workers[i]); /* a session may have come after the command */
    deliver_all_mail(node);             /* what asks the store for something must still find it */
    store_close(node->store);
    deliver_all_mail(node);
    for (unsigned i = 0; i < node->n_workers; i++)
        session_abandon_closing(node->workers[i]);
    acceptors_free(node->port);
}

static void free_worker(struct worker *worker)
{
    if (worker == NULL)
        return;
    delivery_free(worker);
    worker_free(worker);
}

/* After the last connection. */
static void free_port(struct http_port *port)
{
    if (port == NULL)
        return;
    peers_free(port->peers);
    listeners_close(port->listeners);
    tls_context_free(port->tls);
    free(port);
}

void gateway_stop(struct node *node)
{
    if (node->n_started == node->n_workers)
        close_sessions(node);
    for (unsigned i = 0; i < node->n_started; i++)
        worker_stop(node->workers[i]);
    if (node->port != NULL && acceptors_are_made(node->port))
        close_parts(node);
    for (unsigned i = 0; node->workers != NULL && i < node->n_workers; i++)
        free_worker(node->workers[i]);
    free(node->workers);
    push_waits_free(node->wait_table);
    nodes_free(node->nodes);
    client_map_free(node->map);
    auth_close(node->auth);
    free_port(node->port);
    free(node);
}

void gateway_reload(struct node *node, bool must)
{
    auth_reload(node->auth, must);
    if (must && node->port->tls != NULL)
        certificates_reload(node->port->tls);
    if (must)
        store_reload(node->store);
}

void gateway_set_options(struct node *node, const struct options *options)
{
    atomic_store(&node->options, options);
    set_port_limits(node->port, options);
}

enum err gateway_check(const struct options *options, char *why, size_t why_cap)
{
    struct tls_context *tls;
    struct auth *auth;
    struct socket_rights rights;
    enum err error = socket_rights_read(options, &rights, why, why_cap);
    if (error == ERR_OK)
        error = certificates_open(options, &tls, why, why_cap);
    if (error != ERR_OK)
        return error;
    tls_context_free(tls);
    error = auth_open(options, &auth, why, why_cap);
    if (error != ERR_OK)
        return error;
    auth_close(auth);
    const struct store_config config = store_config_of(options);
    return store_check(&config, why, why_cap);
}

void gateway_stats(struct node *node, struct gateway_stats *ret_stats)
{
    *ret_stats = (struct gateway_stats){
        .connections = atomic_load(&node->n_sessions),
        .users = client_map_users(node->map),
        .workers = node->n_workers,
        .uptime_ms = clock_monotonic_ms() - node->started_ms,
        .store = store_kind(node->store),
        .is_store_up = atomic_load(&node->is_store_up),
        .is_draining = atomic_load(&node->is_draining),
    };
}

void gateway_store_problem(struct node *node, char out[STORE_PROBLEM_MAX_BYTES])
{
    out[0] = '\0';
    if (!atomic_load(&node->is_store_up) || node_slots_missing(node) > 0)
        store_describe(node->store, out, STORE_PROBLEM_MAX_BYTES);
}

void gateway_store_refusal(struct node *node, char out[STORE_PROBLEM_MAX_BYTES])
{
    out[0] = '\0';
    store_describe(node->store, out, STORE_PROBLEM_MAX_BYTES);
}
