/* How a node's way to the store breaks: the node dies, or the link does. */
#include "gateway/requests/push.h"
#include "tests/sim/sim_link_parts.h"

/* ---- crashes ---- */

void sim_link_die(struct sim_node *node)
{
    struct sim_link *link = node->link;
    struct sim *sim = node->sim;
    if (sim_store_is_shared(sim))
        sim_channel_die(node);
    link->is_dead = true;
    list_move_all(&link->unanswered, &link->answered);
    while (!list_is_empty(&link->waiting) && sim_chance(sim, 500))
        held_hand_on(held_first(&link->waiting));
    sim_store_turn(sim);
    list_move_all(&link->unanswered, &link->waiting);
}

void sim_link_revive(struct sim_node *node)
{
    node->link->is_dead = false;
}

bool sim_link_is_dead(const struct sim_node *node)
{
    return node->link->is_dead;
}

/* The node is being taken apart: what it still waits for is answered. */
size_t sim_link_lose(struct sim_node *node)
{
    size_t n = sim_ask_lose(node);
    while (!list_is_empty(&node->link->unanswered)) {
        struct held *held = held_first(&node->link->unanswered);
        sim_request_fail(held->request, held->op);
        held_answer(held);
        n++;
    }
    node->sim->totals.lost_requests += n;
    return n;
}

/* ---- for the model and the run ---- */

/* As a local store's sessions hear that it is back. */
static void tell_all(struct sim_node *node)
{
    struct sim *sim = node->sim;
    sim_node_begin(node, SPAN_NONE);
    for (unsigned i = 0; i < sim->plan.n_users; i++)
        push_on_missed(&node->node, span_of(sim->users[i].id), true);
    sim_node_end(node);
}

/* What is under way on a link that breaks may have been carried out. */
static void break_requests(struct sim_link *link, unsigned user)
{
    struct sim *sim = link->node->sim;
    LIST_FOR_EACH_SAFE(at, &link->answered)
    {
        struct held *held = CONTAINER_OF(at, struct held, link);
        if (held->user != user)
            continue;
        held_hide(held);
        held_answer(held);
    }
    LIST_FOR_EACH_SAFE(at, &link->waiting)
    {
        struct held *held = CONTAINER_OF(at, struct held, link);
        if (held->user != user)
            continue;
        if (sim->users[user].is_moving || sim_chance(sim, 700))
            held_fail(held);
        else
            held_hand_on(held);
    }
}

static bool is_all_away(const struct sim_node *node)
{
    for (unsigned i = 0; i < node->sim->plan.n_users; i++) {
        if (!sim_link_is_away(node, i))
            return false;
    }
    return true;
}

static void set_user_away(struct sim_node *node, unsigned user, enum sim_away why, bool is_away)
{
    uint8_t *away = &node->channels[user].away;
    bool was_away = *away != 0;
    *away = (uint8_t)(is_away ? *away | why : *away & ~why);
    if (was_away == (*away != 0) || !sim_store_is_shared(node->sim))
        return;
    if (is_away) {
        break_requests(node->link, user);
        sim_channel_break(node, user);
    } else {
        sim_channel_mend(node, user);
    }
}

void sim_link_set_away(struct sim_node *node, unsigned part, enum sim_away why, bool is_away)
{
    struct sim *sim = node->sim;
    bool was_away = is_all_away(node);
    for (unsigned i = 0; i < sim->plan.n_users; i++) {
        if (part == SIM_ALL_PARTS || i % SIM_PARTS == part)
            set_user_away(node, i, why, is_away);
    }
    if (was_away == is_all_away(node))
        return; /* it comes back with a word to everybody, which would hide what was missed */
    sim_trace(sim, "store %s for node %u", was_away ? "back" : "away", node->index);
    node->is_store_back |= was_away;
    if (was_away && !sim_store_is_shared(sim))
        tell_all(node);
}

bool sim_link_is_away(const struct sim_node *node, unsigned user)
{
    return node->channels[user].away != 0;
}

bool sim_link_has_asked(const struct sim_node *node, unsigned user)
{
    LIST_FOR_EACH(link, &node->link->waiting)
    {
        if (CONTAINER_OF(link, struct held, link)->user == user)
            return true;
    }
    return false;
}

static void find_highest_ack(const struct sim_link *at, struct span user_id, uint64_t *highest)
{
    LIST_FOR_EACH(link, &at->waiting)
    {
        const struct held *held = CONTAINER_OF(link, struct held, link);
        if (held->op != STORE_OP_ACK)
            continue;
        const struct store_ack *ack = CONTAINER_OF(held->request, struct store_ack, request);
        if (span_equal(ack->user_id, user_id) && ack->seq > *highest)
            *highest = ack->seq;
    }
}

uint64_t sim_link_ack_under_way(struct sim *sim, unsigned user)
{
    uint64_t highest = 0;
    for (unsigned i = 0; i < sim->plan.n_nodes; i++)
        find_highest_ack(sim->nodes[i].link, span_of(sim->users[user].id), &highest);
    return highest;
}
