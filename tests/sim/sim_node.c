/* What gateway.c does with threads is done here without: the same nodes, the same workers, turned
 * by hand. A client's socket goes to the user's home worker by mail, as an HTTP connection's does.
 */
#include "gateway/base/clock.h"
#include "gateway/delivery/delivery.h"
#include "gateway/delivery/positions.h"
#include "gateway/delivery/replay.h"
#include "gateway/requests/push_waits.h"
#include "gateway/requests/requests.h"
#include "gateway/session/session_close.h"
#include "gateway/session/session_leaving.h"
#include "gateway/session/session_life.h"
#include "tests/sim/sim.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- sessions ---- */

struct sim_node *sim_node_of(const struct node *node)
{
    return CONTAINER_OF(node, struct sim_node, node);
}

static struct sim *sim_of(const struct session *session)
{
    return sim_node_of(session_worker(session)->node)->sim;
}

static void on_acked(struct session *session)
{
    sim_model_session_acked(sim_tab_of(sim_of(session), session), session->acked);
    positions_acked(session);
}

static void on_drained(struct session *session)
{
    replay_drained(session);
}

static void on_leave(struct session *session, enum offline_cause cause)
{
    struct sim_tab *tab = sim_tab_of(sim_of(session), session);
    if (session->client->is_unsure) /* what it has acknowledged is not written then */
        sim_model_unsure(tab);
    sim_model_left(tab);
    delivery_leave(session, cause);
    if (!atomic_load(&tab->node->node.is_stopping))
        sim_model_check_written(tab);
}

static const struct session_events events = {
    .on_acked = on_acked, .on_drained = on_drained, .on_leave = on_leave};

static struct worker *home_of(const struct sim_tab *tab)
{
    return node_home(&tab->node->node, span_of(tab->sim->users[tab->user].id));
}

/* As the last step of an HTTP connection (http_conn.c). */
static void open_session(struct letter *letter)
{
    struct sim_tab *tab = CONTAINER_OF(letter, struct sim_tab, letter);
    struct sim *sim = tab->sim;
    struct node *node = &tab->node->node;
    struct span user_id = span_of(sim->users[tab->user].id);
    struct admission admission = {.socket = {tab->server_fd, &transport_plain},
                                  .level = tab->is_v1 ? LEVEL_V1 : LEVEL_PLAIN,
                                  .resume = tab->resume,
                                  .is_page = true}; /* answered at once */
    memset(admission.accept, 'a', sizeof admission.accept);
    tab->is_entering = false;
    tab->server_fd = -1;
    if (atomic_load(&node->is_stopping)) {
        transport_close(admission.socket);
        return;
    }
    struct session *session;
    if (session_new(home_of(tab), &admission, &session) != ERR_OK) {
        sim->totals.not_entered++;
        transport_close(admission.socket);
        return;
    }
    atomic_fetch_add(&node->n_sockets, 1);
    atomic_fetch_add(&node->n_sessions, 1);
    tab->session = session;
    sim_model_entered(tab);
    sim_trace(sim, "tab %u enters", tab->number);
    if (delivery_enter(session, user_id, sim_device_name(tab->place)) != ERR_OK) {
        sim->totals.not_entered++;
        sim_model_left(tab);
        session_close_with(session, ERR_NO_MEMORY, SPAN_LITERAL("full"), 0);
        return;
    }
    if (atomic_load(&node->is_draining))
        session_drain(session);
}

void sim_node_enter(struct sim_tab *tab)
{
    tab->is_entering = true;
    tab->letter.deliver = open_session;
    mailbox_post(worker_mailbox(home_of(tab)), &tab->letter);
}

/* ---- the nodes ---- */

struct sim_node *sim_node_any(struct sim *sim)
{
    return &sim->nodes[sim->plan.n_nodes == 1 ? 0 : sim_below(sim, sim->plan.n_nodes)];
}

void sim_node_begin(struct sim_node *node, struct span user_id)
{
    struct sim *sim = node->sim;
    bool is_home = user_id.len > 0 && (sim_store_is_shared(sim) || sim_chance(sim, 500));
    worker_be_here(is_home ? node_home(&node->node, user_id) : NULL);
    sim->here = node;
    sim_memory_scarce(sim);
}

void sim_node_end(struct sim_node *node)
{
    sim_memory_plenty();
    worker_be_here(NULL);
    node->sim->here = NULL;
}

static const worker_command_fn command_fns[COMMANDS] = {[COMMAND_END_WAITS] = push_waits_stop};

void sim_node_start(struct sim_node *at)
{
    struct sim *sim = at->sim;
    struct node *node = &at->node;
    *node = (struct node){
        .options = &sim->options,
        .store = sim_link_store(at),
        .workers = at->workers,
        .n_workers = sim->plan.n_workers,
        .session_events = &events,
        .delivery_events = {.on_position = push_waits_acked},
        .command_fns = command_fns,
        .max_connections = 1000,
        .max_sockets = 1000,
        .pages_at_once = sim->plan.pages_at_once,
    };
    sim->here = at;
    at->n_starts++;
    if (client_map_new(node->n_workers, (uint32_t)sim->options.session_max_bytes,
                       delivery_on_letter, &node->map) != ERR_OK)
        sim_fail(sim, "no client map");
    if (push_waits_new(node->n_workers, &node->wait_table) != ERR_OK)
        sim_fail(sim, "no wait table");
    for (unsigned i = 0; i < node->n_workers; i++) {
        if (worker_new(node, i, replay_try_again, &at->workers[i]) != ERR_OK)
            sim_fail(sim, "no worker");
        if (delivery_new(at->workers[i]) != ERR_OK)
            sim_fail(sim, "no delivery");
        at->workers[i]->random = sim_random(sim) | 1;
    }
    sim->here = NULL;
}

void sim_node_turn(struct sim_node *node, unsigned skip_per_mille, unsigned late_worker)
{
    struct sim *sim = node->sim;
    if (node->is_store_back) {
        sim_node_begin(node, SPAN_NONE);
        for (unsigned i = 0; i < sim->plan.n_workers; i++)
            replay_try_again(node->workers[i]);
        sim_node_end(node);
        node->is_store_back = false;
    }
    for (unsigned i = 0; i < sim->plan.n_workers; i++) {
        if (i == late_worker || sim_chance(sim, skip_per_mille))
            continue;
        sim_node_begin(node, SPAN_NONE);
        reactor_turn(node->workers[i]->reactor, 0);
        sim_node_end(node);
    }
}

static void close_client(struct client *client, void *unused)
{
    (void)unused;
    session_close_all(client, ERR_RESTART, (struct span){0});
}

static size_t deliver_mail(struct sim_node *node)
{
    size_t n = 0;
    for (unsigned i = 0; i < node->node.n_workers; i++)
        n += mailbox_deliver(worker_mailbox(node->workers[i]));
    return n;
}

/* The memory is given back as at a stop, but no turn runs any more: no socket hears of it but by
 * its end, and the store by nothing. */
void sim_node_crash(struct sim_node *at)
{
    struct node *node = &at->node;
    sim_trace(at->sim, "node %u ends", at->index);
    sim_link_die(at);
    at->sim->here = at;
    atomic_store(&node->is_stopping, true);
    gateway_end_waits(node);
    for (unsigned i = 0; i < node->n_workers; i++)
        client_map_each(node->map, i, close_client, NULL);
    while (deliver_mail(at) + sim_link_lose(at) > 0) {
    }
    for (unsigned i = 0; i < node->n_workers; i++) {
        session_abandon_closing(at->workers[i]);
    }
    while (deliver_mail(at) + sim_link_lose(at) > 0) {
    }
    for (unsigned i = 0; i < node->n_workers; i++) {
        delivery_free(at->workers[i]);
        worker_free(at->workers[i]);
    }
    push_waits_free(node->wait_table);
    client_map_free(node->map);
    at->sim->here = NULL;
    sim_model_crashed(at);
    sim_link_revive(at);
}

static void drain_client(struct client *client, void *unused)
{
    (void)unused;
    LIST_FOR_EACH(link, &client->sessions)
    {
        session_drain(CONTAINER_OF(link, struct session, link));
    }
}

void sim_node_drain(struct sim_node *at)
{
    struct node *node = &at->node;
    sim_trace(at->sim, "node %u drains", at->index);
    atomic_store(&node->drain_ends_ms, clock_monotonic_ms() + 500);
    atomic_store(&node->is_draining, true);
    sim_node_begin(at, SPAN_NONE);
    for (unsigned i = 0; i < node->n_workers; i++)
        client_map_each(node->map, i, drain_client, NULL);
    sim_node_end(at);
}

bool sim_node_is_draining(const struct sim_node *node)
{
    return atomic_load(&node->node.is_draining);
}
