/* What the nodes share: the memory store, and what it reports. With one node the reports go to that
 * node at once, as a local store's do; with several each node hears what it is subscribed to
 * (sim_channel.c). */
#include "gateway/requests/push.h"
#include "gateway/requests/questions.h"
#include "gateway/stores/stores.h"
#include "tests/sim/sim.h"
#include "tests/sim/sim_inner.h"

#include <stdlib.h>

struct sim_store {
    struct store *inner;
};

bool sim_store_is_shared(const struct sim *sim)
{
    return sim->plan.n_nodes > 1;
}

/* ---- what the store reports ---- */

/* At once, and while the node asks for something. */
static void on_question(struct store_user_question *question)
{
    struct sim *sim = question->owner;
    question->owner = &sim->nodes[0].node;
    questions_on_asked(question);
}

static void hear(struct sim_node *node, struct span user_id, struct inbox_event event)
{
    struct sim *sim = node->sim;
    bool is_lost = event.kind == INBOX_NOTIFICATION && sim_chance(sim, sim->plan.lost_per_mille);
    if (sim_link_is_dead(node) || sim_link_is_away(node, 0)) {
        sim_model_untold(node, user_id, event);
    } else if (is_lost) {
        sim_model_lost(node, user_id, event);
    } else {
        sim_node_begin(node, user_id);
        push_on_inbox_event(&node->node, user_id, event);
        sim_node_end(node);
    }
}

/* The user of this name in the store; NULL: it was one before what he had was lost. */
static struct sim_user *find_user(struct sim *sim, struct span store_id)
{
    for (unsigned i = 0; i < sim->plan.n_users; i++) {
        if (span_equal(span_of(sim->users[i].store_id), store_id))
            return &sim->users[i];
    }
    return NULL;
}

static void on_inbox_event(void *owner, struct span store_id, struct inbox_event event)
{
    struct sim *sim = owner;
    struct sim_user *user = find_user(sim, store_id);
    if (user == NULL)
        return;
    sim_model_told(sim, span_of(user->id), event);
    if (sim->is_replaying)
        return;
    if (sim_store_is_shared(sim))
        (void)sim_channel_publish(sim, (unsigned)(user - sim->users), event);
    else
        hear(&sim->nodes[0], span_of(user->id), event);
}

static void on_state(void *owner, bool is_up)
{
    struct sim *sim = owner;
    sim_trace(sim, "store %s", is_up ? "up" : "full");
    sim->is_full = !is_up;
    for (unsigned i = 0; i < sim->plan.n_nodes; i++)
        sim->nodes[i].is_store_back |= is_up;
}

/* ---- what it is asked ---- */

void sim_store_submit(struct sim *sim, struct store_request *request, enum store_op op)
{
    sim->store->inner->ops->submit(sim->store->inner, request, op);
}

void sim_store_turn(struct sim *sim)
{
    sim_inner_turn(sim->store->inner);
}

bool sim_store_page_at_once(struct sim *sim, struct store_page *page)
{
    return store_page_at_once(sim->store->inner, page);
}

void sim_store_ask(struct sim *sim, struct store_ask *ask)
{
    sim->store->inner->ops->ask(sim->store->inner, ask);
}

void sim_store_set_full(struct sim *sim, bool is_full)
{
    sim_inner_set_full(sim->store->inner, is_full);
}

static void on_own_peek(struct store_request *request)
{
    (void)request; /* looked at after the turn */
}

struct store_peek sim_store_peek(struct sim *sim, unsigned user)
{
    struct store_peek peek = {.request = {.on_done = on_own_peek},
                              .user_id = span_of(sim->users[user].store_id)};
    store_peek(sim->store->inner, &peek);
    sim_store_turn(sim);
    return peek;
}

/* ---- comparing heads ---- */

bool sim_store_compares(const struct sim *sim)
{
    return sim->plan.lost_per_mille > 0 || (sim_store_is_shared(sim) && sim->plan.may_lose);
}

static void compare_head(struct sim_node *node, unsigned user)
{
    struct sim *sim = node->sim;
    struct span user_id = span_of(sim->users[user].id);
    struct store_known known;
    push_get_known(&node->node, user_id, &known);
    bool is_online = client_map_count(node->node.map, user_id) > 0;
    if (!is_online || known.head == sim_store_peek(sim, user).head)
        return;
    sim->totals.heads_behind++;
    sim_node_begin(node, SPAN_NONE);
    push_on_missed(&node->node, user_id, true);
    sim_node_end(node);
}

void sim_store_compare_heads(struct sim_node *node)
{
    enum { PERIOD_MS = 1000, SHARED_PERIOD_MS = 500 };
    struct sim *sim = node->sim;
    int64_t period_ms = sim_store_is_shared(sim) ? SHARED_PERIOD_MS : PERIOD_MS;
    if (!sim_store_compares(sim) || sim->now_ms - node->compared_ms < period_ms ||
        (!sim_store_is_shared(sim) && sim_link_is_away(node, 0)))
        return;
    node->compared_ms = sim->now_ms;
    for (unsigned i = 0; i < sim->plan.n_users; i++) {
        if (sim_store_is_shared(sim))
            sim_channel_compare(node, i);
        else
            compare_head(node, i);
    }
}

/* ---- made and freed ---- */

static int64_t inner_now_ms(void *owner)
{
    return sim_wall_ms(owner);
}

void sim_store_open(struct sim *sim)
{
    struct store_config config = {
        .url = "memory:",
        .inbox_max = (uint32_t)sim->options.inbox_max,
        .inbox_max_bytes = (uint64_t)sim->options.inbox_max_bytes,
        .idempotency_window_s = (uint32_t)(sim->options.idempotency_window / 1000),
        .events = {.on_inbox_event = on_inbox_event,
                   .on_state = on_state,
                   .on_question = on_question},
        .owner = sim,
    };
    sim->store = calloc(1, sizeof *sim->store);
    if (sim_inner_open(&config, inner_now_ms, &sim->store->inner) != ERR_OK)
        sim_fail(sim, "the store cannot be opened");
}

void sim_store_close(struct sim *sim)
{
    store_close(sim->store->inner);
    free(sim->store);
}
