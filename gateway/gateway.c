/* How the gateway drains, and how its parts are taken apart (gateway_start.c puts them together).
 *
 * Stop: the sessions are sent their close frames and have a moment to go, the workers end, and the
 * store answers what is under way. Letters that no worker reads any more are delivered on this
 * thread, so that what they hold is freed. */
#include "gateway/gateway.h"

#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/base/metrics.h"
#include "gateway/delivery/delivery.h"
#include "gateway/delivery/replay.h"
#include "gateway/events/events.h"
#include "gateway/http/acceptor.h"
#include "gateway/http/acceptors.h"
#include "gateway/http/certificates.h"
#include "gateway/http/http_port.h"
#include "gateway/http/listeners.h"
#include "gateway/identity/auth.h"
#include "gateway/identity/peers.h"
#include "gateway/limits.h"
#include "gateway/node/health.h"
#include "gateway/requests/drain.h"
#include "gateway/requests/nodes.h"
#include "gateway/requests/push_waits.h"
#include "gateway/session/session_close.h"
#include "gateway/upgrade/upgrade_give.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    GOODBYE_MS = 1000,
    REST_MS = 1000,      /* for the closes of sessions that cannot be handed over */
    LAST_HEADS_MS = 250, /* for the requests of those that were accepted last */
};

static void close_worker(struct worker *worker);
static void drain_worker(struct worker *worker);
static void end_waits(struct worker *worker);

const worker_command_fn gateway_commands[COMMANDS] = {
    [COMMAND_STORE_IS_BACK] = replay_try_again,
    [COMMAND_DRAIN] = drain_worker,
    [COMMAND_END_WAITS] = end_waits,
    [COMMAND_CLOSE] = close_worker,
};

/* ---- the drain ---- */

static void end_waits(struct worker *worker)
{
    push_waits_stop(worker);
    events_end_waits(worker);
}

/* Readers of events go on at another node. */
static void drain_worker(struct worker *worker)
{
    drain_apply(worker);
    if (atomic_load(&worker->node->is_draining))
        events_end_waits(worker);
}

static bool has_open_port(const struct node *node)
{
    return acceptors_are_made(node->port) && node->port->listeners != NULL;
}

uint32_t gateway_begin_drain(struct node *node)
{
    listeners_await_nothing(node->port->listeners);
    return drain_announce(node);
}

uint32_t gateway_end_listening(struct node *node)
{
    uint32_t drain_ms = drain_time_ms(node);
    if (has_open_port(node))
        acceptors_end(node->port);
    else if (!store_is_shared(node->store) && drain_ms > REST_MS)
        drain_ms = REST_MS; /* another process has the store: who is left here gets nothing more */
    node->port_ended_ms = clock_monotonic_ms();
    drain_begin(node, drain_ms);
    return drain_ms;
}

unsigned gateway_count_sessions(const struct node *node)
{
    return atomic_load(&node->n_sessions);
}

bool gateway_is_drained(const struct node *node)
{
    bool has_heads = atomic_load(&node->n_sockets) > 0 &&
                     clock_monotonic_ms() - node->port_ended_ms < LAST_HEADS_MS;
    return atomic_load(&node->n_sessions) == 0 && !has_heads;
}

/* ---- the stop ---- */

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
    if (acceptors_are_made(worker->node->port))
        acceptor_close(worker->node->port->acceptors[worker->index]);
    close_unauthenticated(worker);
    end_waits(worker);
    client_map_each(worker->node->map, worker->index, close_client, NULL);
}

static void close_sessions(struct node *node)
{
    atomic_store(&node->is_refusing, true);
    drain_begin(node, 0);
    atomic_store(&node->is_stopping, true);
    worker_command_all(node, COMMAND_CLOSE);
    for (int waited_ms = 0; waited_ms < GOODBYE_MS && atomic_load(&node->n_sockets) > 0;
         waited_ms += 10)
        usleep(10 * 1000);
    events_leave(node);
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
    events_stop(node);
    store_close(node->store);
    events_close(node);
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
    if (node->n_made == node->n_workers)
        close_parts(node);
    for (unsigned i = 0; node->workers != NULL && i < node->n_workers; i++)
        free_worker(node->workers[i]);
    free(node->workers);
    push_waits_free(node->wait_table);
    nodes_free(node->nodes);
    drains_free(node->drains);
    upgrade_free(node->upgrade);
    events_free(node->events);
    client_map_free(node->map);
    auth_close(node->auth);
    free_port(node->port);
    outages_fini(&node->outages);
    free(node);
}

void gateway_reload(struct node *node, bool must)
{
    auth_reload(node->auth, must);
    if (must && node->port->tls != NULL)
        certificates_reload(node->port->tls);
    if (must)
        store_reload(node->store);
    events_reload(node, must);
}

enum err gateway_ask_for_upgrade(struct node *node, char *why, size_t why_cap)
{
    char reason[UPGRADE_WHY_MAX_BYTES];
    if (upgrade_is_impossible(node, reason)) {
        snprintf(why, why_cap, "upgrade given up: %s", reason);
        return ERR_CONFLICT;
    }
    if (!upgrade_claim(node->upgrade)) {
        snprintf(why, why_cap, "another upgrade is under way");
        return ERR_CONFLICT;
    }
    kill(getpid(), SIGUSR2);
    return ERR_OK;
}

void gateway_upgrade_status(struct node *node, struct upgrade_status *ret_status)
{
    upgrade_read_status(node->upgrade, ret_status);
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
        .closing = (uint64_t)metrics_read(METRIC_LEAVING),
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
