/* What is asked of the nodes, each of any of them: pushes, which are repeated with their
 * idempotency key on the same node or another one, withdrawals, and kicks. */
#include "gateway/base/clock.h"
#include "gateway/node/worker.h"
#include "gateway/requests/requests.h"
#include "tests/sim/sim.h"

#include <stdlib.h>
#include <string.h>

static void on_pushed(struct gateway_push *push)
{
    struct sim_push *sim_push = CONTAINER_OF(push, struct sim_push, push);
    struct sim_node *node = sim_push->node;
    struct sim *sim = node->sim;
    sim_push->n_answers++;
    sim_push->was_refused = false;
    for (size_t i = 0; i < push->n_targets; i++) {
        const struct gateway_target *target = &push->targets[i];
        unsigned user = sim_push->users[i];
        bool is_known =
            push->ttl_s == 0 || (sim_push->n_losses[user] == sim->users[user].n_losses &&
                                 epoch_equal(target->epoch, sim->users[user].epoch));
        if (target->error == ERR_OK && is_known && target->seq != sim_push->seqs[user])
            sim_fail(sim, "a push was answered with number %llu, not %llu",
                     (unsigned long long)target->seq, (unsigned long long)sim_push->seqs[user]);
        if (target->error == ERR_OK && !atomic_load(&node->node.is_stopping) && push->ttl_s > 0 &&
            !push->has_waited && target->online != sim_model_online(node, user))
            sim_fail(sim, "a push was answered with %u online, not %u", target->online,
                     sim_model_online(node, user));
        sim->totals.accepted += target->error == ERR_OK;
        sim->totals.refused += target->error != ERR_OK;
        sim_push->was_refused |= target->error != ERR_OK;
    }
    if (push->wait_ms > 0)
        sim_watch_check(sim, sim_push);
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

static void ask_push(struct sim *sim, struct sim_push *push)
{
    push->node = sim_node_any(sim);
    push->n_asked++;
    push->asked_ms = sim->now_ms;
    push->n_failed = sim->totals.failed_allocations;
    sim_node_begin(push->node, sim_chance(sim, 500) ? push->targets[0].user_id : SPAN_NONE);
    gateway_push(&push->node->node, &push->push);
    sim_node_end(push->node);
}

/* To n users from `first` on. */
static void push_to(struct sim *sim, unsigned first, unsigned n_targets, uint32_t ttl_s,
                    size_t n_pad)
{
    uint32_t number = sim->n_pushes++;
    struct sim_push *push = &sim->pushes[number];
    *push = (struct sim_push){0};
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
    if (ttl_s > 0 && n_targets == 1 && sim_chance(sim, sim->plan.wait_per_mille))
        push->push.wait_ms = 500 + (uint32_t)sim_below(sim, 10000);
    sim_trace(sim, "push %u to %u users from %u, ttl %u s, %zu bytes", number, n_targets, first,
              ttl_s, push->push.data.len);
    sim->totals.pushed += n_targets;
    sim->totals.ephemeral += ttl_s == 0;
    ask_push(sim, push);
}

void sim_push_new(struct sim *sim, uint32_t ttl_s, size_t n_pad)
{
    if (sim->n_pushes == SIM_PUSHES_MAX)
        return;
    unsigned first = (unsigned)sim_below(sim, sim->plan.n_users);
    unsigned n_targets = sim_chance(sim, 150) ? sim->plan.n_users : 1;
    push_to(sim, first, n_targets, ttl_s, n_pad);
}

void sim_push_to(struct sim *sim, unsigned user)
{
    push_to(sim, user, 1, 0, 0);
}

void sim_push_again(struct sim *sim, uint32_t number)
{
    struct sim_push *push = &sim->pushes[number];
    if (push->push.idempotency_key.len == 0 || push->n_answers < push->n_asked)
        return;
    sim_trace(sim, "push %u again", number);
    sim->totals.repeats++;
    ask_push(sim, push);
}

/* ---- withdrawals ---- */

struct sim_cancel {
    struct gateway_cancel cancel;
    struct sim *sim;
};

static void on_cancelled(struct gateway_cancel *cancel)
{
    struct sim_cancel *sim_cancel = CONTAINER_OF(cancel, struct sim_cancel, cancel);
    sim_fleet_cancelled(sim_cancel->sim, cancel);
    free(sim_cancel);
}

void sim_cancel(struct sim *sim, unsigned user, uint64_t seq)
{
    struct sim_node *node = sim_node_any(sim);
    struct sim_cancel *cancel = calloc(1, sizeof *cancel);
    cancel->sim = sim;
    cancel->cancel.on_done = on_cancelled;
    cancel->cancel.user_id = span_of(sim->users[user].id);
    cancel->cancel.epoch = sim->users[user].epoch;
    cancel->cancel.seq = seq;
    sim_trace(sim, "cancel %u of user %u at node %u", (unsigned)seq, user, node->index);
    sim->totals.asked_cancels++;
    sim_node_begin(node, SPAN_NONE);
    gateway_cancel(&node->node, &cancel->cancel);
    sim_node_end(node);
}

static void on_purged(struct gateway_purge *purge)
{
    free(purge);
}

void sim_purge(struct sim *sim, unsigned user)
{
    struct sim_node *node = sim_node_any(sim);
    struct gateway_purge *purge = calloc(1, sizeof *purge);
    purge->on_done = on_purged;
    purge->user_id = span_of(sim->users[user].id);
    sim_trace(sim, "purge user %u at node %u", user, node->index);
    sim->totals.asked_purges++;
    sim_node_begin(node, SPAN_NONE);
    gateway_purge(&node->node, purge);
    sim_node_end(node);
}

/* ---- kicks ---- */

struct sim_kick {
    struct gateway_kick kick;
    struct sim *sim;
};

static void on_kicked(struct gateway_kick *kick)
{
    struct sim_kick *sim_kick = CONTAINER_OF(kick, struct sim_kick, kick);
    sim_fleet_answered(sim_kick->sim, kick);
    free(sim_kick);
}

void sim_kick(struct sim *sim, unsigned user)
{
    struct sim_node *node = sim_node_any(sim);
    struct sim_kick *work = calloc(1, sizeof *work);
    struct gateway_kick *kick = &work->kick;
    work->sim = sim;
    kick->on_done = on_kicked;
    kick->user_id = span_of(sim->users[user].id);
    kick->block_s = sim_chance(sim, 500) ? 1 + (uint32_t)sim_below(sim, 10) : 0;
    sim_trace(sim, "kick user %u at node %u, blocked for %u s", user, node->index, kick->block_s);
    sim->totals.kicks++;
    sim_node_begin(node, SPAN_NONE);
    gateway_kick(&node->node, kick);
    sim_node_end(node);
}
