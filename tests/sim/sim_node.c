/* What gateway.c does with threads is done here without: the same node, the same workers, turned by
 * hand. A client's socket goes to the user's home worker by mail, as an HTTP connection's does. */
#include "gateway/base/clock.h"
#include "gateway/delivery/delivery.h"
#include "gateway/delivery/positions.h"
#include "gateway/delivery/replay.h"
#include "gateway/requests/push_waits.h"
#include "gateway/requests/requests.h"
#include "gateway/session/session_close.h"
#include "gateway/session/session_life.h"
#include "tests/sim/sim.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- sessions ---- */

static struct sim *present; /* session_events name no owner */

static void on_acked(struct session *session)
{
    sim_model_session_acked(sim_tab_of(present, session), session->acked);
    positions_acked(session);
}

static void on_drained(struct session *session)
{
    replay_drained(session);
}

static void on_leave(struct session *session)
{
    struct sim_tab *tab = sim_tab_of(present, session);
    sim_model_left(tab);
    delivery_leave(session);
    if (!atomic_load(&present->node.is_stopping))
        sim_model_check_written(tab);
}

static const struct session_events events = {
    .on_acked = on_acked, .on_drained = on_drained, .on_leave = on_leave};

/* As the last step of an HTTP connection (http_conn.c). */
static void open_session(struct letter *letter)
{
    struct sim_tab *tab = CONTAINER_OF(letter, struct sim_tab, letter);
    struct sim *sim = tab->sim;
    struct span user_id = span_of(sim->users[tab->user].id);
    struct worker *home = sim->workers[client_map_home(sim->node.map, user_id)];
    struct admission admission = {.socket = {tab->server_fd, &transport_plain},
                                  .level = tab->is_v1 ? LEVEL_V1 : LEVEL_PLAIN,
                                  .resume = tab->resume,
                                  .is_page = true}; /* answered at once */
    memset(admission.accept, 'a', sizeof admission.accept);
    tab->is_entering = false;
    tab->server_fd = -1;
    if (atomic_load(&sim->node.is_stopping)) {
        transport_close(admission.socket);
        return;
    }
    struct session *session;
    if (session_new(home, &admission, &session) != ERR_OK) {
        sim->totals.not_entered++;
        transport_close(admission.socket);
        return;
    }
    atomic_fetch_add(&sim->node.n_sockets, 1);
    atomic_fetch_add(&sim->node.n_sessions, 1);
    tab->session = session;
    sim_model_entered(tab);
    sim_trace(sim, "tab %u enters", tab->number);
    if (delivery_enter(session, user_id, sim_device_name(tab->place)) != ERR_OK) {
        sim->totals.not_entered++;
        sim_model_left(tab);
        session_close_with(session, ERR_NO_MEMORY, SPAN_LITERAL("full"), 0);
        return;
    }
    if (atomic_load(&sim->node.is_draining))
        session_drain(session);
}

void sim_node_enter(struct sim_tab *tab)
{
    struct sim *sim = tab->sim;
    struct span user_id = span_of(sim->users[tab->user].id);
    struct worker *home = sim->workers[client_map_home(sim->node.map, user_id)];
    tab->is_entering = true;
    tab->letter.deliver = open_session;
    mailbox_post(worker_mailbox(home), &tab->letter);
}

/* ---- the node ---- */

void sim_node_start(struct sim *sim)
{
    present = sim;
    struct node *node = &sim->node;
    *node = (struct node){
        .options = &sim->options,
        .store = sim_store_of(sim),
        .workers = sim->workers,
        .n_workers = sim->plan.n_workers,
        .session_events = &events,
        .delivery_events = {push_waits_acked},
        .max_connections = 1000,
        .max_sockets = 1000,
        .pages_at_once = sim->plan.pages_at_once,
    };
    if (client_map_new(node->n_workers, (uint32_t)sim->options.session_max_bytes,
                       delivery_on_letter, &node->map) != ERR_OK)
        sim_fail(sim, "no client map");
    if (push_waits_new(node->n_workers, &node->wait_table) != ERR_OK)
        sim_fail(sim, "no wait table");
    for (unsigned i = 0; i < node->n_workers; i++) {
        if (worker_new(node, i, replay_try_again, &sim->workers[i]) != ERR_OK)
            sim_fail(sim, "no worker");
        if (delivery_new(sim->workers[i]) != ERR_OK)
            sim_fail(sim, "no delivery");
        sim->workers[i]->random = sim_random(sim) | 1;
    }
}

void sim_node_turn(struct sim *sim, unsigned skip_per_mille, unsigned late_worker)
{
    if (sim->is_store_back) {
        sim_memory_scarce(sim);
        for (unsigned i = 0; i < sim->plan.n_workers; i++)
            replay_try_again(sim->workers[i]);
        sim_memory_plenty();
        sim->is_store_back = false;
    }
    for (unsigned i = 0; i < sim->plan.n_workers; i++) {
        if (i == late_worker || sim_chance(sim, skip_per_mille))
            continue;
        sim_memory_scarce(sim);
        reactor_turn(sim->workers[i]->reactor, 0);
        sim_memory_plenty();
    }
}

static void close_client(struct client *client, void *unused)
{
    (void)unused;
    session_close_all(client, ERR_RESTART, (struct span){0});
}

static size_t deliver_mail(struct sim *sim)
{
    size_t n = 0;
    for (unsigned i = 0; i < sim->plan.n_workers; i++)
        n += mailbox_deliver(worker_mailbox(sim->workers[i]));
    return n;
}

/* The memory is given back as at a stop, but no turn runs any more: no socket hears of it but by
 * its end, and the store by nothing. */
void sim_node_crash(struct sim *sim)
{
    struct node *node = &sim->node;
    sim_trace(sim, "the node ends");
    sim_store_die(sim);
    atomic_store(&node->is_stopping, true);
    for (unsigned i = 0; i < node->n_workers; i++) {
        push_waits_stop(sim->workers[i]);
        client_map_each(node->map, i, close_client, NULL);
    }
    while (deliver_mail(sim) + sim_store_lose(sim) > 0) {
    }
    for (unsigned i = 0; i < node->n_workers; i++) {
        session_abandon_closing(sim->workers[i]);
    }
    while (deliver_mail(sim) + sim_store_lose(sim) > 0) {
    }
    for (unsigned i = 0; i < node->n_workers; i++) {
        delivery_free(sim->workers[i]);
        worker_free(sim->workers[i]);
    }
    push_waits_free(node->wait_table);
    client_map_free(node->map);
    sim_model_crashed(sim);
    sim_store_revive(sim);
}

static void drain_client(struct client *client, void *unused)
{
    (void)unused;
    LIST_FOR_EACH(link, &client->sessions)
    {
        session_drain(CONTAINER_OF(link, struct session, link));
    }
}

void sim_node_drain(struct sim *sim)
{
    struct node *node = &sim->node;
    sim_trace(sim, "the node drains");
    atomic_store(&node->drain_ends_ms, clock_monotonic_ms() + 500);
    atomic_store(&node->is_draining, true);
    sim_memory_scarce(sim);
    for (unsigned i = 0; i < node->n_workers; i++)
        client_map_each(node->map, i, drain_client, NULL);
    sim_memory_plenty();
}

bool sim_node_is_draining(const struct sim *sim)
{
    return atomic_load(&sim->node.is_draining);
}

/* ---- what is asked of it ---- */

static void on_pushed(struct gateway_push *push)
{
    struct sim_push *sim_push = CONTAINER_OF(push, struct sim_push, push);
    struct sim *sim = sim_push->sim;
    sim_push->n_answers++;
    sim_push->was_refused = false;
    for (size_t i = 0; i < push->n_targets; i++) {
        const struct gateway_target *target = &push->targets[i];
        unsigned user = sim_push->users[i];
        if (target->error == ERR_OK && target->seq != sim_push->seqs[user])
            sim_fail(sim, "a push was answered with number %llu, not %llu",
                     (unsigned long long)target->seq, (unsigned long long)sim_push->seqs[user]);
        if (target->error == ERR_OK && !atomic_load(&sim->node.is_stopping) && push->ttl_s > 0 &&
            target->online != sim_model_online(sim, user))
            sim_fail(sim, "a push was answered with %u online, not %u", target->online,
                     sim_model_online(sim, user));
        sim->totals.accepted += target->error == ERR_OK;
        sim->totals.refused += target->error != ERR_OK;
        sim_push->was_refused |= target->error != ERR_OK;
    }
}

static struct span make_data(struct sim *sim, uint32_t number, size_t n_pad)
{
    char *data = malloc(64 + n_pad);
    int len = snprintf(data, 64, "{\"n\":%u,\"pad\":\"", number);
    for (size_t i = 0; i < n_pad; i++)
        data[len++] = (char)('a' + sim_below(sim, 26));
    data[len++] = '"';
    data[len++] = '}';
    return (struct span){data, (size_t)len};
}

static void draw_keys(struct sim *sim, struct sim_push *push, uint32_t number)
{
    if (sim_chance(sim, sim->plan.collapse_per_mille)) {
        snprintf(push->collapse_key, sizeof push->collapse_key, "k%u", (unsigned)sim_below(sim, 3));
        push->push.collapse_key = span_of(push->collapse_key);
    }
    if (sim_chance(sim, sim->plan.key_per_mille)) {
        snprintf(push->idempotency_key, sizeof push->idempotency_key, "i%u", number);
        push->push.idempotency_key = span_of(push->idempotency_key);
    }
}

void sim_node_come_from(struct sim *sim, struct span user_id)
{
    worker_be_here(sim_chance(sim, 500) ? node_home(&sim->node, user_id) : NULL);
}

static void ask_push(struct sim *sim, struct sim_push *push)
{
    sim_node_come_from(sim, push->targets[0].user_id);
    sim_memory_scarce(sim);
    gateway_push(&sim->node, &push->push);
    sim_memory_plenty();
    worker_be_here(NULL);
}

void sim_node_push(struct sim *sim, uint32_t ttl_s, size_t n_pad)
{
    if (sim->n_pushes == SIM_PUSHES_MAX)
        return;
    uint32_t number = sim->n_pushes++;
    struct sim_push *push = &sim->pushes[number];
    unsigned first = (unsigned)sim_below(sim, sim->plan.n_users);
    unsigned n_targets = sim_chance(sim, 150) ? sim->plan.n_users : 1;
    *push = (struct sim_push){.sim = sim};
    for (unsigned i = 0; i < n_targets; i++) {
        push->users[i] = (first + i) % sim->plan.n_users;
        push->targets[i].user_id = span_of(sim->users[push->users[i]].id);
    }
    push->push = (struct gateway_push){
        .on_done = on_pushed,
        .data = make_data(sim, number, n_pad),
        .ttl_s = ttl_s,
        .n_targets = n_targets,
        .targets = push->targets,
    };
    if (ttl_s > 0)
        draw_keys(sim, push, number);
    push->n_asked = 1;
    sim_trace(sim, "push %u to %u users from %u, ttl %u s, %zu bytes", number, n_targets, first,
              ttl_s, push->push.data.len);
    sim->totals.pushed += n_targets;
    sim->totals.ephemeral += ttl_s == 0;
    ask_push(sim, push);
}

void sim_node_repeat(struct sim *sim, uint32_t number)
{
    struct sim_push *push = &sim->pushes[number];
    if (push->push.idempotency_key.len == 0 || push->n_answers < push->n_asked)
        return;
    sim_trace(sim, "push %u again", number);
    push->n_asked++;
    sim->totals.repeats++;
    ask_push(sim, push);
}

static void on_cancelled(struct gateway_cancel *cancel)
{
    free(cancel);
}

void sim_node_cancel(struct sim *sim, unsigned user, uint64_t seq)
{
    struct gateway_cancel *cancel = calloc(1, sizeof *cancel);
    cancel->on_done = on_cancelled;
    cancel->user_id = span_of(sim->users[user].id);
    cancel->epoch = sim->users[user].epoch;
    cancel->seq = seq;
    sim_trace(sim, "cancel %u of user %u", (unsigned)seq, user);
    sim->totals.asked_cancels++;
    sim_memory_scarce(sim);
    gateway_cancel(&sim->node, cancel);
    sim_memory_plenty();
}

static void on_purged(struct gateway_purge *purge)
{
    free(purge);
}

void sim_node_purge(struct sim *sim, unsigned user)
{
    struct gateway_purge *purge = calloc(1, sizeof *purge);
    purge->on_done = on_purged;
    purge->user_id = span_of(sim->users[user].id);
    sim_trace(sim, "purge user %u", user);
    sim->totals.asked_purges++;
    sim_memory_scarce(sim);
    gateway_purge(&sim->node, purge);
    sim_memory_plenty();
}

static void on_kicked(struct gateway_kick *kick)
{
    free(kick);
}

void sim_node_kick(struct sim *sim, unsigned user)
{
    struct gateway_kick *kick = calloc(1, sizeof *kick);
    kick->on_done = on_kicked;
    kick->user_id = span_of(sim->users[user].id);
    sim_trace(sim, "kick user %u", user);
    sim_memory_scarce(sim);
    gateway_kick(&sim->node, kick);
    sim_memory_plenty();
}
