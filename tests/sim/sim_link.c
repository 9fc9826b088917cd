/* A node's way to the store. Requests wait here until the link is turned. A turn may stop early, so
 * that the rest comes later; a crash loses what waits, as a process that dies loses what it had not
 * written. To the node a lost request is answered with an error, but there is nobody left to hear
 * it.
 *
 * A local store answers as soon as it has carried a request out. The answers of a shared one are on
 * their way for a while, and what it reports meanwhile may come before them or after them. */
#include "gateway/requests/push.h"
#include "tests/sim/sim.h"

#include <stdlib.h>

struct held {
    struct list link;
    struct sim_link *at;
    struct store_request *request;
    void (*on_done)(struct store_request *request);
    enum store_op op;
};

struct sim_link {
    struct store store; /* first: it is handed out */
    struct sim_node *node;
    struct list waiting;    /* not handed on yet */
    struct list handed_on;  /* in the store's hands */
    struct list answered;   /* on the way back */
    struct list unanswered; /* lost in a crash */
    bool is_dead;
    bool is_away;
};

static struct sim_link *link_of(const struct store *store)
{
    return (struct sim_link *)(uintptr_t)store;
}

struct store *sim_link_store(struct sim_node *node)
{
    return &node->link->store;
}

static unsigned user_index(struct sim *sim, struct span user_id)
{
    return (unsigned)(sim_model_user(sim, user_id) - sim->users);
}

/* ---- what the node asks ---- */

/* CONTRACT 5.9: a bounded number at a time, here of a worker. */
static void check_pages(const struct sim_link *link, unsigned lane)
{
    unsigned n = 0;
    LIST_FOR_EACH(at, &link->waiting)
    {
        const struct held *held = CONTAINER_OF(at, struct held, link);
        n += held->op == STORE_OP_PAGE && held->request->lane == lane;
    }
    if (n > link->node->sim->plan.pages_at_once)
        sim_fail(link->node->sim, "%u pages of worker %u are under way", n, lane);
}

static void hold_one(struct sim_link *link, struct store_request *request, enum store_op op)
{
    if (op == STORE_OP_ACK && !link->is_dead)
        sim_model_acking(link->node, CONTAINER_OF(request, struct store_ack, request));
    struct held *held = calloc(1, sizeof *held);
    *held = (struct held){.at = link, .request = request, .on_done = request->on_done, .op = op};
    list_append(link->is_dead ? &link->unanswered : &link->waiting, &held->link);
    if (op == STORE_OP_PAGE && !link->is_dead)
        check_pages(link, request->lane);
}

void sim_link_ask_page(struct sim_node *node, struct store_request *page)
{
    hold_one(node->link, page, STORE_OP_PAGE);
}

/* The page of an arrival waits for the subscription. */
static void submit_one(struct sim_link *link, struct store_request *request, enum store_op op)
{
    struct sim *sim = link->node->sim;
    const struct store_page *page = CONTAINER_OF(request, struct store_page, request);
    if (op == STORE_OP_PAGE && page->is_arrival && sim_store_is_shared(sim) && !link->is_dead)
        sim_channel_arrive(link->node, user_index(sim, page->user_id), request);
    else
        hold_one(link, request, op);
}

static void hold(struct store *store, struct store_request *first, enum store_op op)
{
    struct store_request *next;
    for (struct store_request *request = first; request != NULL; request = next) {
        next = request->next;
        request->next = NULL;
        submit_one(link_of(store), request, op);
    }
}

/* Only when nothing that was asked before it is still held here. */
static bool page_at_once(struct store *store, struct store_page *page)
{
    struct sim_link *link = link_of(store);
    struct sim *sim = link->node->sim;
    if (link->is_dead || link->is_away || sim_store_is_shared(sim) ||
        !list_is_empty(&link->waiting) || !sim_store_page_at_once(sim, page))
        return false;
    sim->totals.pages_at_once++;
    return true;
}

/* To the node that has crashed nothing is asked any more. */
static void ask(struct store *store, struct store_ask *question)
{
    struct sim_link *link = link_of(store);
    if (link->is_dead) {
        question->error = ERR_STORE_UNAVAILABLE;
        question->request.on_done(&question->request);
    } else if (sim_store_is_shared(link->node->sim)) {
        sim_ask_begin(link->node, question);
    } else {
        sim_store_ask(link->node->sim, question);
    }
}

static void leave(struct store *store, unsigned lane, struct span user_id)
{
    struct sim_link *link = link_of(store);
    (void)lane;
    if (sim_store_is_shared(link->node->sim) && !link->is_dead)
        sim_channel_leave(link->node, user_index(link->node->sim, user_id));
}

static void describe(struct store *store, char *out, size_t cap)
{
    (void)store;
    snprintf(out, cap, "a simulation");
}

static int64_t now_ms(const struct store *store)
{
    return sim_wall_ms(link_of(store)->node->sim);
}

static const struct store_ops local_ops = {
    .kind = "simulated",
    .submit = hold,
    .page_at_once = page_at_once,
    .ask = ask,
    .leave = leave,
    .describe = describe,
    .now_ms = now_ms,
};

static const struct store_ops shared_ops = {
    .kind = "simulated",
    .is_shared = true,
    .submit = hold,
    .ask = ask,
    .leave = leave,
    .describe = describe,
    .now_ms = now_ms,
};

/* ---- failing ---- */

/* What a page had read is thrown away with it. */
static void fail_page(struct store_page *page)
{
    store_page_clear(page);
    page->error = ERR_STORE_UNAVAILABLE;
}

static void fail_append(struct store_append *append)
{
    for (size_t i = 0; i < append->n_targets; i++)
        append->targets[i].error = ERR_STORE_UNAVAILABLE;
}

static void set_failed(struct held *held)
{
    struct store_request *request = held->request;
    const enum err error = ERR_STORE_UNAVAILABLE;
    if (held->op == STORE_OP_APPEND || held->op == STORE_OP_SEND)
        fail_append(CONTAINER_OF(request, struct store_append, request));
    else if (held->op == STORE_OP_PAGE)
        fail_page(CONTAINER_OF(request, struct store_page, request));
    else if (held->op == STORE_OP_ACK)
        CONTAINER_OF(request, struct store_ack, request)->error = error;
    else if (held->op == STORE_OP_LOOK)
        CONTAINER_OF(request, struct store_look, request)->error = error;
    else if (held->op == STORE_OP_WITHDRAW)
        CONTAINER_OF(request, struct store_withdraw, request)->error = error;
    else if (held->op == STORE_OP_BLOCK)
        CONTAINER_OF(request, struct store_block, request)->error = error;
    else
        CONTAINER_OF(request, struct store_peek, request)->error = error;
}

/* The node hears the answer, or that there is none. */
static void answer(struct held *held)
{
    struct store_request *request = held->request;
    struct sim_link *link = held->at;
    list_remove(&held->link);
    request->on_done = held->on_done;
    free(held);
    if (link->is_dead) {
        request->on_done(request);
        return;
    }
    sim_node_begin(link->node, SPAN_NONE);
    request->on_done(request);
    sim_node_end(link->node);
}

static void fail(struct held *held)
{
    if (held->op == STORE_OP_ACK)
        sim_model_failed(held->at->node, CONTAINER_OF(held->request, struct store_ack, request));
    set_failed(held);
    answer(held);
}

/* ---- what the store answers ---- */

/* The connection broke after the request: it was carried out, but the answer is lost. */
static void hide(struct sim *sim, struct held *held)
{
    if (held->op == STORE_OP_APPEND)
        sim->totals.hidden++;
    if (held->op == STORE_OP_SEND)
        sim_model_push(sim, CONTAINER_OF(held->request, struct store_append, request)->payload)
            ->may_repeat = true; /* the node gives it to its own sessions as well */
    set_failed(held);
}

static void show_answer(struct sim_node *node, const struct held *held)
{
    struct store_request *request = held->request;
    if (held->op == STORE_OP_APPEND)
        sim_model_appended(node, CONTAINER_OF(request, struct store_append, request));
    else if (held->op == STORE_OP_ACK)
        sim_model_acked(node, CONTAINER_OF(request, struct store_ack, request));
    else if (held->op == STORE_OP_PAGE)
        sim_model_paged(node->sim, CONTAINER_OF(request, struct store_page, request));
    else if (held->op == STORE_OP_LOOK)
        sim_model_looked(node->sim, CONTAINER_OF(request, struct store_look, request));
    else if (held->op == STORE_OP_WITHDRAW)
        sim_model_withdrawn(node->sim, CONTAINER_OF(request, struct store_withdraw, request));
    else if (held->op == STORE_OP_BLOCK)
        sim_fleet_blocked(node->sim, CONTAINER_OF(request, struct store_block, request));
}

static void count_nodes(struct sim *sim, struct store_append *append)
{
    for (size_t i = 0; i < append->n_targets; i++)
        append->targets[i].nodes =
            sim_channel_count(sim, user_index(sim, append->targets[i].user_id));
}

/* It comes back, at once or later. */
static void return_answer(struct held *held)
{
    struct sim_link *link = held->at;
    struct sim *sim = link->node->sim;
    if (link->is_away)
        hide(sim, held);
    if (link->is_away || link->is_dead || !sim_store_is_shared(sim)) {
        answer(held);
        return;
    }
    if (held->op == STORE_OP_APPEND)
        count_nodes(sim, CONTAINER_OF(held->request, struct store_append, request));
    list_remove(&held->link);
    list_append(&link->answered, &held->link);
}

static struct sim *present; /* the callback of a request names no owner */

static void on_answer(struct store_request *request)
{
    for (unsigned i = 0; i < present->plan.n_nodes; i++) {
        struct sim_link *at = present->nodes[i].link;
        LIST_FOR_EACH(link, &at->handed_on)
        {
            struct held *held = CONTAINER_OF(link, struct held, link);
            if (held->request != request)
                continue;
            show_answer(at->node, held);
            return_answer(held);
            return;
        }
    }
    sim_fail(present, "the store answered what was not asked, or twice");
}

/* With ttl 0: nothing is kept, and it is told to the nodes that are subscribed. */
static void send_on(struct held *held)
{
    struct sim *sim = held->at->node->sim;
    struct store_append *append = CONTAINER_OF(held->request, struct store_append, request);
    struct notification *note =
        notification_new(append->payload, (struct epoch){{0}}, 0, sim_wall_ms(sim), 0);
    for (size_t i = 0; i < append->n_targets; i++) {
        struct store_target *target = &append->targets[i];
        target->error = ERR_OK;
        target->nodes =
            sim_channel_publish(sim, user_index(sim, target->user_id), inbox_event_of_note(note));
    }
    notification_unref(note);
    sim->totals.sent += append->n_targets;
    return_answer(held);
}

static void hand_on(struct held *held)
{
    struct sim_link *link = held->at;
    struct sim *sim = link->node->sim;
    list_remove(&held->link);
    list_append(&link->handed_on, &held->link);
    if (held->op == STORE_OP_SEND) {
        send_on(held);
        return;
    }
    held->request->on_done = on_answer;
    sim_store_submit(sim, held->request, held->op);
    if (sim_store_is_shared(sim))
        sim_store_turn(sim);
}

static struct held *first_of(struct list *list)
{
    return CONTAINER_OF(list->next, struct held, link);
}

/* Of a shared store, whose answers take their time. */
static void bring_answers(struct sim_link *link, bool may_stop_early)
{
    struct sim *sim = link->node->sim;
    while (!list_is_empty(&link->answered) && !(may_stop_early && sim_chance(sim, 200)))
        answer(first_of(&link->answered));
    if (!list_is_empty(&link->answered))
        sim->totals.late_answers++;
}

void sim_link_turn(struct sim_node *node, bool may_stop_early)
{
    struct sim_link *link = node->link;
    struct sim *sim = node->sim;
    while (!list_is_empty(&link->waiting) && !(may_stop_early && sim_chance(sim, 50))) {
        struct held *held = first_of(&link->waiting);
        if (link->is_away && sim_chance(sim, 700))
            fail(held);
        else
            hand_on(held);
    }
    if (sim_store_is_shared(sim)) {
        bring_answers(link, may_stop_early);
        sim_channel_turn(node, may_stop_early);
        if (sim_chance(sim, 300))
            bring_answers(link, may_stop_early);
    }
    sim_store_turn(sim);
}

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
        hand_on(first_of(&link->waiting));
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
        struct held *held = first_of(&node->link->unanswered);
        set_failed(held);
        answer(held);
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

void sim_link_set_away(struct sim_node *node, bool is_away)
{
    struct sim_link *link = node->link;
    struct sim *sim = node->sim;
    if (link->is_away == is_away)
        return; /* it comes back with a word to everybody, which would hide what was missed */
    sim_trace(sim, "store %s for node %u", is_away ? "away" : "back", node->index);
    link->is_away = is_away;
    node->is_store_back |= !is_away;
    while (is_away && !list_is_empty(&link->answered)) {
        hide(sim, first_of(&link->answered));
        answer(first_of(&link->answered));
    }
    for (unsigned i = 0; sim_store_is_shared(sim) && i < sim->plan.n_users; i++) {
        if (is_away)
            sim_channel_break(node, i);
        else
            sim_channel_mend(node, i);
    }
    if (!is_away && !sim_store_is_shared(sim))
        tell_all(node);
}

bool sim_link_is_away(const struct sim_node *node)
{
    return node->link->is_away;
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

void sim_link_open(struct sim_node *node)
{
    struct sim_link *link = calloc(1, sizeof *link);
    link->store.ops = sim_store_is_shared(node->sim) ? &shared_ops : &local_ops;
    link->node = node;
    list_init(&link->waiting);
    list_init(&link->handed_on);
    list_init(&link->answered);
    list_init(&link->unanswered);
    node->link = link;
    present = node->sim;
}

void sim_link_close(struct sim_node *node)
{
    free(node->link);
}
