/* Puts the parts together: the listening sockets first (the commonest failure), then the reactors,
 * then the store, which may run its links on them, then the threads. For a process that is to take
 * the sockets of another one over, the same without the listening sockets, which come last, from
 * that process. */
#include "gateway/base/clock.h"
#include "gateway/base/hash.h"
#include "gateway/base/log.h"
#include "gateway/base/metrics.h"
#include "gateway/delivery/client_describe.h"
#include "gateway/delivery/delivery.h"
#include "gateway/delivery/positions.h"
#include "gateway/delivery/replay.h"
#include "gateway/events/event_log.h"
#include "gateway/events/events.h"
#include "gateway/gateway.h"
#include "gateway/gateway_parts.h"
#include "gateway/http/acceptors.h"
#include "gateway/http/certificates.h"
#include "gateway/http/http_port.h"
#include "gateway/http/listeners.h"
#include "gateway/identity/auth.h"
#include "gateway/identity/peers.h"
#include "gateway/limits.h"
#include "gateway/net/socket_rights.h"
#include "gateway/node/refusals.h"
#include "gateway/port/demo_echo.h"
#include "gateway/port/handover.h"
#include "gateway/port/port_routes.h"
#include "gateway/requests/blocked.h"
#include "gateway/requests/broadcast.h"
#include "gateway/requests/drain.h"
#include "gateway/requests/nodes.h"
#include "gateway/requests/push.h"
#include "gateway/requests/push_waits.h"
#include "gateway/requests/questions.h"
#include "gateway/store/store_partition.h"
#include "gateway/stores/stores.h"
#include "gateway/upgrade/upgrade.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
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

static void on_store_state(void *owner, bool is_up)
{
    struct node *node = owner;
    metrics_set(METRIC_STORE_UP, is_up);
    if (is_up)
        atomic_store(&node->was_store_up, true);
    if (atomic_exchange(&node->is_store_up, is_up) == is_up)
        return;
    if (!is_up) {
        outages_begin(&node->outages, clock_wall_ms());
        return;
    }
    outages_end(&node->outages, clock_wall_ms());
    for (unsigned i = 0; i < node->n_workers; i++) {
        if (node->workers[i] == NULL)
            return; /* still starting: no session waits */
    }
    worker_command_all(node, COMMAND_STORE_IS_BACK);
}

/* ---- what the store reports, where events are kept: a part of it is about their partitions ----
 */

static bool is_of_partition(struct span user_id, unsigned *ret_partition)
{
    return user_id.bytes[0] == STORE_RESERVED_BYTE &&
           store_is_partition_user(user_id, ret_partition);
}

static void pass_inbox_event(void *owner, struct span user_id, struct inbox_event event)
{
    const struct node *node = owner;
    unsigned partition;
    if (is_of_partition(user_id, &partition))
        event_log_on_event(node->events->log, partition, event);
    else
        push_on_inbox_event(owner, user_id, event);
}

static void pass_missed(void *owner, struct span user_id, bool has_withdrawals)
{
    const struct node *node = owner;
    unsigned partition;
    if (is_of_partition(user_id, &partition))
        event_log_on_missed(node->events->log, partition);
    else
        push_on_missed(owner, user_id, has_withdrawals);
}

static void pass_known(void *owner, struct span user_id, struct store_known *ret_known)
{
    const struct node *node = owner;
    unsigned partition;
    if (is_of_partition(user_id, &partition))
        event_log_get_known(node->events->log, partition, ret_known);
    else
        push_get_known(owner, user_id, ret_known);
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
        .events_max = (uint32_t)options->events_max,
        .events_max_bytes = (uint64_t)options->events_max_bytes,
        .event_ttl_s = (uint32_t)(options->event_ttl / 1000),
        .alerts_max = (uint32_t)options->alerts_max,
    };
}

enum err gateway_name_place(const struct node *node, struct buf *out)
{
    const struct store_config config = store_config_of(atomic_load(&node->options));
    return store_name_own_place(node->store, &config, out);
}

bool gateway_is_at_place(const struct options *options, struct span place)
{
    const struct store_config config = store_config_of(options);
    return store_is_at(&config, place);
}

static enum err open_store(struct node *node, const int *lock_fd, char *why, size_t why_cap)
{
    const struct options *options = node->options;
    struct reactor **lanes = calloc(node->n_workers, sizeof(struct reactor *));
    if (lanes == NULL)
        return ERR_NO_MEMORY;
    for (unsigned i = 0; i < node->n_workers; i++)
        lanes[i] = node->workers[i]->reactor;
    struct store_config config = store_config_of(options);
    config.is_awaited = lock_fd != NULL && *lock_fd >= 0;
    config.lock_fd = config.is_awaited ? *lock_fd : -1;
    /* The process that still has it was ready, and so is this one: degraded until it has it. */
    atomic_store(&node->was_store_up, config.is_awaited);
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
    if (node->events != NULL) {
        config.events.on_inbox_event = pass_inbox_event;
        config.events.on_missed = pass_missed;
        config.events.get_known = pass_known;
    }
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

static void on_second(struct worker *worker)
{
    replay_try_again(worker);
    nodes_say(worker);
    events_on_second(worker);
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
        node->n_made++;
    }
    return ERR_OK;
}

static enum err start_workers(struct node *node)
{
    for (unsigned i = 0; i < node->n_workers; i++) {
        enum err error = worker_start(node->workers[i]);
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

static enum err open_listeners(struct node *node, const struct given_listener *given,
                               size_t n_given, char *why, size_t why_cap)
{
    struct socket_rights rights;
    enum err error = socket_rights_read(node->options, &rights, why, why_cap);
    if (error == ERR_OK)
        error = listeners_adopt(&node->options->listen, "listen", &rights, given, n_given,
                                &node->port->listeners, why, why_cap);
    return error;
}

/* `lock_fd`: of the process that has the listening sockets; NULL: there is none. */
static enum err open_parts(struct node *node, const int *lock_fd, char *why, size_t why_cap)
{
    bool listens = lock_fd == NULL;
    enum err error = hash_init();
    if (error != ERR_OK)
        return error;
    error = make_port(node);
    if (error != ERR_OK)
        return error;
    error = certificates_open(node->options, &node->port->tls, why, why_cap);
    if (error != ERR_OK)
        return error;
    error = listens ? open_listeners(node, NULL, 0, why, why_cap) : ERR_OK;
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
        error = drains_new(node, &node->drains);
    if (error == ERR_OK)
        error = upgrade_new(&node->upgrade);
    if (error == ERR_OK)
        error = events_new(node, why, why_cap);
    if (error == ERR_OK)
        error = make_workers(node);
    if (error == ERR_OK && listens)
        error = acceptors_new(node->port);
    if (error == ERR_OK)
        error = open_store(node, lock_fd, why, why_cap);
    if (error == ERR_OK && listens)
        error = acceptors_open(node->port);
    if (error == ERR_OK)
        error = start_workers(node);
    return error;
}

static enum err start(const struct options *options, const int *lock_fd, struct node **ret_node,
                      char *why, size_t why_cap)
{
    struct node *node = calloc(1, sizeof *node);
    snprintf(why, why_cap, "the gateway cannot start: out of memory or of descriptors");
    if (node == NULL)
        return ERR_NO_MEMORY;
    atomic_init(&node->options, options);
    node_name_choose(options->node_name, node->name);
    outages_init(&node->outages);
    outages_begin(&node->outages, clock_wall_ms()); /* until the store has answered */
    node->session_events = &session_events;
    node->command_fns = gateway_commands;
    node->delivery_events.on_position = push_waits_acked;
    node->describe_client = client_describe;
    node->n_workers = options->workers > 0 ? (unsigned)options->workers : count_cores();
    node->max_connections = limits_max_connections(options);
    node->pages_at_once = REPLAY_PAGES_AT_ONCE;
    node->started_ms = clock_monotonic_ms();
    if (options->demo)
        demo_echo_begin(node);
    atomic_init(&node->has_namesake_until_ms, lock_fd != NULL ? INT64_MAX : 0);
    /* Connection ids go on from the clock, so that two runs do not share them in a log. */
    atomic_init(&node->next_connection, (uint64_t)clock_wall_ms() << 4);

    enum err error = open_parts(node, lock_fd, why, why_cap);
    if (error != ERR_OK) {
        gateway_stop(node);
        return error;
    }
    *ret_node = node;
    return ERR_OK;
}

static void log_start_of(const struct node *node)
{
    char where[LOG_TEXT_MAX_BYTES];
    listeners_describe(node->port->listeners, where, sizeof where);
    log_event(LOG_INFO, "subscribers are served", LOG_TEXT("listen", where),
              LOG_TEXT("node", node->name), LOG_INT("workers", node->n_workers),
              LOG_TEXT("store", store_kind(node->store)),
              LOG_INT("max_connections", node->max_connections),
              LOG_TEXT("tls", node->port->tls != NULL ? "on" : "off"));
}

enum err gateway_start(const struct options *options, struct node **ret_node, char *why,
                       size_t why_cap)
{
    enum err error = start(options, NULL, ret_node, why, why_cap);
    if (error != ERR_OK)
        return error;
    events_start(*ret_node);
    error = events_settle(*ret_node, why, why_cap);
    if (error != ERR_OK) {
        gateway_stop(*ret_node);
        return error == ERR_CONFLICT ? ERR_INVALID_FIELD : error;
    }
    log_start_of(*ret_node);
    return ERR_OK;
}

enum err gateway_prepare(const struct options *options, int lock_fd, struct node **ret_node,
                         char *why, size_t why_cap)
{
    return start(options, &lock_fd, ret_node, why, why_cap);
}

enum err gateway_listen(struct node *node, const struct given_listener *given, size_t n_given,
                        char *why, size_t why_cap)
{
    enum err error = open_listeners(node, given, n_given, why, why_cap);
    if (error != ERR_OK)
        return error;
    error = acceptors_new(node->port);
    if (error != ERR_OK)
        snprintf(why, why_cap, "the subscriber port cannot open: out of memory");
    return error;
}

enum err gateway_accept(struct node *node)
{
    listeners_settle(node->port->listeners);
    enum err error = acceptors_open_running(node->port);
    if (error != ERR_OK)
        return error;
    events_start(node);
    log_start_of(node);
    return ERR_OK;
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
    error = events_check(options, why, why_cap);
    if (error != ERR_OK)
        return error;
    const struct store_config config = store_config_of(options);
    return store_check(&config, why, why_cap);
}
