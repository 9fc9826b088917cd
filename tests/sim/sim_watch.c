/* Pushes that wait on one node for what becomes of them on others: these are told on the user's
 * channel, and answer behind what they have asked of the store for him. Either may get lost. */
#include "gateway/requests/push_waits.h"
#include "tests/sim/sim.h"

#include <stdlib.h>

/* An answer on its way to the node that waits. */
struct told {
    struct list link;
    struct sim_node *from;
    unsigned user;
    struct store_watch watch;
    uint64_t acked;
    int64_t due_ms;
};

/* A node that was started anew has another name. */
static struct epoch name_of(const struct sim_node *node)
{
    struct epoch name = {"node"};
    name.text[EPOCH_LEN - 2] = (char)('a' + node->index);
    name.text[EPOCH_LEN - 1] = (char)(node->n_starts % 100);
    return name;
}

void sim_watch_send(struct sim_node *node, unsigned user, const struct store_watch *watch)
{
    struct sim *sim = node->sim;
    struct store_watch named = *watch;
    named.node = name_of(node);
    if (sim_link_is_away(node, user))
        return;
    sim->totals.watches++;
    for (unsigned i = 0; i < sim->plan.n_nodes; i++)
        if (i != node->index && !sim_chance(sim, sim->plan.lost_per_mille))
            sim_channel_tell(&sim->nodes[i], user, &named);
}

void sim_watch_hear(struct sim_node *node, unsigned user, const struct store_watch *watch)
{
    struct span user_id = span_of(node->sim->users[user].id);
    sim_node_begin(node, user_id);
    push_waits_on_watch(&node->node, user_id, watch);
    sim_node_end(node);
}

void sim_watch_answer(struct sim_node *node, unsigned user, const struct store_watch *watch,
                      uint64_t acked)
{
    struct sim *sim = node->sim;
    if (sim_chance(sim, sim->plan.mute_per_mille))
        return;
    struct told *told = malloc(sizeof *told);
    *told = (struct told){.from = node,
                          .user = user,
                          .watch = *watch,
                          .acked = acked,
                          .due_ms = sim->now_ms + (int64_t)sim_below(sim, 20)};
    list_append(&sim->told, &told->link);
}

static void hear_answer(struct sim *sim, const struct told *told)
{
    for (unsigned i = 0; i < sim->plan.n_nodes; i++) {
        struct sim_node *node = &sim->nodes[i];
        if (!epoch_equal(name_of(node), told->watch.node) || sim_link_is_away(node, told->user))
            continue;
        sim->totals.watch_answers++;
        sim_node_begin(node, SPAN_NONE);
        push_waits_on_watch_answer(&node->node, told->watch.number, told->watch.epoch, told->acked);
        sim_node_end(node);
    }
}

void sim_watch_turn(struct sim *sim)
{
    LIST_FOR_EACH_SAFE(link, &sim->told)
    {
        struct told *told = CONTAINER_OF(link, struct told, link);
        if (told->due_ms > sim->now_ms || sim_link_has_asked(told->from, told->user))
            continue;
        list_remove(&told->link);
        hear_answer(sim, told);
        free(told);
    }
}

void sim_watch_end(struct sim *sim)
{
    while (!list_is_empty(&sim->told)) {
        struct told *told = CONTAINER_OF(sim->told.next, struct told, link);
        list_remove(&told->link);
        free(told);
    }
}

/* ---- what a push that has waited is answered ---- */

static void check_gone(struct sim *sim, const struct gateway_push *push,
                       const struct sim_user *user)
{
    const struct sim_entry *entry = &user->entries[push->targets[0].seq - 1];
    enum gap_cause real = sim_gaps_cause(sim, user, push->targets[0].seq);
    bool has_expired = entry->expires_ms <= sim_wall_ms(sim);
    bool is_right = push->cause == real || (push->cause == GAP_EXPIRED && has_expired) ||
                    (push->cause == GAP_UNKNOWN && real != GAP_NONE);
    if (!is_right)
        sim_fail(sim, "user %s: who waited for %llu is told %s, but it was %s", user->id,
                 (unsigned long long)push->targets[0].seq, gap_cause_text(push->cause),
                 real == GAP_NONE ? "waiting" : gap_cause_text(real));
}

void sim_watch_check(struct sim *sim, const struct sim_push *waited)
{
    const struct gateway_push *push = &waited->push;
    const struct sim_user *user = &sim->users[waited->users[0]];
    bool is_stopping = atomic_load(&waited->node->node.is_stopping);
    if (!push->has_waited || push->targets[0].error != ERR_OK ||
        user->n_losses != waited->n_losses[waited->users[0]] ||
        !epoch_equal(push->targets[0].epoch, user->epoch))
        return;
    sim->totals.waited++;
    if (push->fate == GATEWAY_GONE) {
        sim->totals.waited_gone++;
        check_gone(sim, push, user);
    } else if (push->fate == GATEWAY_DELIVERED) {
        const struct sim_entry *entry = &user->entries[push->targets[0].seq - 1];
        sim->totals.waited_delivered++;
        /* A node that did not hear that it was withdrawn, or had no memory to take note of it, sees
         * only that a position has passed it. */
        bool has_heard =
            entry->unreported == 0 && waited->n_failed == sim->totals.failed_allocations;
        if (!entry->was_acked && has_heard)
            sim_fail(sim, "user %s: %llu is called delivered, and no client has said so", user->id,
                     (unsigned long long)push->targets[0].seq);
    } else if (!is_stopping && sim->now_ms < waited->asked_ms + push->wait_ms) {
        sim_fail(sim, "user %s: who waits for %llu is sent away too early", user->id,
                 (unsigned long long)push->targets[0].seq);
    }
}

/* In a calm each has found out, at the latest by its look at the store; with a local store it looks
 * when its time is over. */
void sim_watch_check_calm(struct sim *sim)
{
    enum { LOOK_MS = 1500 };
    if (!sim_store_is_shared(sim))
        return;
    for (unsigned i = 0; i < sim->n_pushes; i++) {
        const struct sim_push *push = &sim->pushes[i];
        const struct sim_user *user = &sim->users[push->users[0]];
        uint64_t seq = push->seqs[push->users[0]];
        if (push->push.wait_ms == 0 || push->n_answers == push->n_asked || seq == 0 ||
            sim->plan.lost_per_mille > 0)
            continue;
        enum gap_cause cause = sim_gaps_cause(sim, user, seq);
        const struct sim_entry *entry = &user->entries[seq - 1];
        int64_t left_ms = cause == GAP_EXPIRED ? entry->expires_ms : entry->left_ms;
        if (cause != GAP_NONE && left_ms < sim_wall_ms(sim) - LOOK_MS)
            sim_fail(sim, "user %s: push %u waits for %llu, which has left the inbox", user->id, i,
                     (unsigned long long)seq);
    }
}
