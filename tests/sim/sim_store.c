/* Requests wait here until the store is turned. A turn may stop early, so that the rest comes
 * later; a crash loses what waits, as a process that dies loses what it had not written. To the
 * node a lost request is answered with an error, but there is nobody left to hear it. */
#include "gateway/requests/push.h"
#include "gateway/requests/questions.h"
#include "gateway/stores/stores.h"
#include "tests/sim/sim.h"
#include "tests/sim/sim_inner.h"

#include <stdlib.h>

struct held {
    struct list link;
    struct store_request *request;
    void (*on_done)(struct store_request *request);
    enum store_op op;
};

struct sim_store {
    struct store store; /* first: it is handed out */
    struct sim *sim;
    struct store *inner;
    struct list waiting;    /* not handed on yet */
    struct list handed_on;  /* in the inner store's hands */
    struct list unanswered; /* lost in a crash */
    bool is_dead;
    bool is_away;
};

/* The callback of a request names no owner. */
static struct sim_store *present;

struct store *sim_store_of(struct sim *sim)
{
    return &sim->store->store;
}

/* ---- what the node asks ---- */

/* CONTRACT 5.9: a bounded number at a time, here of a worker. */
static void check_pages(const struct sim_store *sim_store, unsigned lane)
{
    unsigned n = 0;
    LIST_FOR_EACH(link, &sim_store->waiting)
    {
        const struct held *held = CONTAINER_OF(link, struct held, link);
        n += held->op == STORE_OP_PAGE && held->request->lane == lane;
    }
    if (n > sim_store->sim->plan.pages_at_once)
        sim_fail(sim_store->sim, "%u pages of worker %u are under way", n, lane);
}

static void hold_one(struct sim_store *sim_store, struct store_request *request, enum store_op op)
{
    if (op == STORE_OP_ACK && !sim_store->is_dead)
        sim_model_acking(sim_store->sim, CONTAINER_OF(request, struct store_ack, request));
    struct held *held = calloc(1, sizeof *held);
    *held = (struct held){.request = request, .on_done = request->on_done, .op = op};
    list_append(sim_store->is_dead ? &sim_store->unanswered : &sim_store->waiting, &held->link);
    if (op == STORE_OP_PAGE && !sim_store->is_dead)
        check_pages(sim_store, request->lane);
}

static void hold(struct store *store, struct store_request *first, enum store_op op)
{
    struct store_request *next;
    for (struct store_request *request = first; request != NULL; request = next) {
        next = request->next;
        request->next = NULL;
        hold_one((struct sim_store *)(void *)store, request, op);
    }
}

/* Only when nothing that was asked before it is still held here. */
static bool page_at_once(struct store *store, struct store_page *page)
{
    struct sim_store *sim_store = (struct sim_store *)(void *)store;
    if (sim_store->is_dead || sim_store->is_away || !list_is_empty(&sim_store->waiting) ||
        !store_page_at_once(sim_store->inner, page))
        return false;
    sim_store->sim->totals.pages_at_once++;
    return true;
}

/* To the node that has crashed nothing is asked any more. */
static void ask(struct store *store, struct store_ask *question)
{
    struct sim_store *sim_store = (struct sim_store *)(void *)store;
    if (!sim_store->is_dead) {
        sim_store->inner->ops->ask(sim_store->inner, question);
        return;
    }
    question->error = ERR_STORE_UNAVAILABLE;
    question->request.on_done(&question->request);
}

static void leave(struct store *store, unsigned lane, struct span user_id)
{
    store_leave(((struct sim_store *)(void *)store)->inner, lane, user_id);
}

static void describe(struct store *store, char *out, size_t cap)
{
    store_describe(((struct sim_store *)(void *)store)->inner, out, cap);
}

static int64_t now_ms(const struct store *store)
{
    return sim_wall_ms(((const struct sim_store *)(const void *)store)->sim);
}

static const struct store_ops ops = {
    .kind = "simulated",
    .submit = hold,
    .page_at_once = page_at_once,
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

static void set_failed(struct held *held)
{
    if (held->op == STORE_OP_APPEND) {
        struct store_append *append = CONTAINER_OF(held->request, struct store_append, request);
        for (size_t i = 0; i < append->n_targets; i++)
            append->targets[i].error = ERR_STORE_UNAVAILABLE;
    } else if (held->op == STORE_OP_PAGE) {
        fail_page(CONTAINER_OF(held->request, struct store_page, request));
    } else if (held->op == STORE_OP_ACK) {
        CONTAINER_OF(held->request, struct store_ack, request)->error = ERR_STORE_UNAVAILABLE;
    } else if (held->op == STORE_OP_LOOK) {
        CONTAINER_OF(held->request, struct store_look, request)->error = ERR_STORE_UNAVAILABLE;
    } else if (held->op == STORE_OP_WITHDRAW) {
        CONTAINER_OF(held->request, struct store_withdraw, request)->error = ERR_STORE_UNAVAILABLE;
    } else {
        CONTAINER_OF(held->request, struct store_peek, request)->error = ERR_STORE_UNAVAILABLE;
    }
}

static void fail(struct held *held)
{
    struct store_request *request = held->request;
    list_remove(&held->link);
    set_failed(held);
    free(held);
    sim_memory_scarce(present->sim);
    request->on_done(request);
    sim_memory_plenty();
}

/* ---- what the store answers ---- */

/* The connection broke after the request: it was carried out, but the answer is lost. */
static void hide(struct sim *sim, struct held *held)
{
    if (held->op == STORE_OP_APPEND)
        sim->totals.hidden++;
    set_failed(held);
}

static void show_answer(struct sim *sim, const struct held *held)
{
    if (held->op == STORE_OP_APPEND)
        sim_model_appended(sim, CONTAINER_OF(held->request, struct store_append, request));
    else if (held->op == STORE_OP_ACK)
        sim_model_acked(sim, CONTAINER_OF(held->request, struct store_ack, request));
    else if (held->op == STORE_OP_PAGE)
        sim_model_paged(sim, CONTAINER_OF(held->request, struct store_page, request));
    else if (held->op == STORE_OP_LOOK)
        sim_model_looked(sim, CONTAINER_OF(held->request, struct store_look, request));
    else if (held->op == STORE_OP_WITHDRAW)
        sim_model_withdrawn(sim, CONTAINER_OF(held->request, struct store_withdraw, request));
}

static void on_answer(struct store_request *request)
{
    LIST_FOR_EACH(link, &present->handed_on)
    {
        struct held *held = CONTAINER_OF(link, struct held, link);
        if (held->request != request)
            continue;
        list_remove(&held->link);
        show_answer(present->sim, held);
        if (present->is_away)
            hide(present->sim, held);
        request->on_done = held->on_done;
        free(held);
        sim_memory_scarce(present->sim);
        request->on_done(request);
        sim_memory_plenty();
        return;
    }
    sim_fail(present->sim, "the store answered what was not asked, or twice");
}

static void on_question(struct store_user_question *question)
{
    struct sim *sim = question->owner;
    question->owner = &sim->node;
    questions_on_asked(question);
}

static void hear(struct sim *sim, struct span user_id, struct inbox_event event)
{
    sim_node_come_from(sim, user_id);
    sim_memory_scarce(sim);
    push_on_inbox_event(&sim->node, user_id, event);
    sim_memory_plenty();
    worker_be_here(NULL);
}

static void on_inbox_event(void *owner, struct span user_id, struct inbox_event event)
{
    struct sim *sim = owner;
    sim_model_told(sim, user_id, event);
    bool is_lost = event.kind == INBOX_NOTIFICATION && sim_chance(sim, sim->plan.lost_per_mille);
    sim->totals.lost_messages += is_lost;
    if (!sim->store->is_dead && !sim->store->is_away && !is_lost)
        hear(sim, user_id, event);
    else
        sim_model_untold(sim, user_id, event);
}

static void on_state(void *owner, bool is_up)
{
    struct sim *sim = owner;
    sim_trace(sim, "store %s", is_up ? "up" : "full");
    sim->is_store_back |= is_up;
}

static void hand_on(struct sim_store *sim_store, struct held *held)
{
    list_remove(&held->link);
    list_append(&sim_store->handed_on, &held->link);
    held->request->on_done = on_answer;
    sim_store->inner->ops->submit(sim_store->inner, held->request, held->op);
}

void sim_store_turn(struct sim *sim, bool may_stop_early)
{
    struct sim_store *sim_store = sim->store;
    while (!list_is_empty(&sim_store->waiting) && !(may_stop_early && sim_chance(sim, 50))) {
        struct held *held = CONTAINER_OF(sim_store->waiting.next, struct held, link);
        if (sim_store->is_away && sim_chance(sim, 700)) {
            if (held->op == STORE_OP_ACK)
                sim_model_failed(sim, CONTAINER_OF(held->request, struct store_ack, request));
            fail(held);
        } else {
            hand_on(sim_store, held);
        }
    }
    sim_inner_turn(sim_store->inner);
}

/* ---- crashes ---- */

void sim_store_die(struct sim *sim)
{
    struct sim_store *sim_store = sim->store;
    sim_store->is_dead = true;
    while (!list_is_empty(&sim_store->waiting) && sim_chance(sim, 500))
        hand_on(sim_store, CONTAINER_OF(sim_store->waiting.next, struct held, link));
    sim_inner_turn(sim_store->inner);
    list_move_all(&sim_store->unanswered, &sim_store->waiting);
}

void sim_store_revive(struct sim *sim)
{
    sim->store->is_dead = false;
}

/* The node is being taken apart: what it still waits for is answered. */
size_t sim_store_lose(struct sim *sim)
{
    size_t n = 0;
    while (!list_is_empty(&sim->store->unanswered)) {
        fail(CONTAINER_OF(sim->store->unanswered.next, struct held, link));
        n++;
    }
    sim->totals.lost_requests += n;
    return n;
}

/* ---- for the model and the run ---- */

void sim_store_set_full(struct sim *sim, bool is_full)
{
    sim_inner_set_full(sim->store->inner, is_full);
}

void sim_store_set_away(struct sim *sim, bool is_away)
{
    if (sim->store->is_away == is_away)
        return; /* it comes back with a word to everybody, which would hide what was missed */
    sim_trace(sim, "store %s", is_away ? "away" : "back");
    sim->store->is_away = is_away;
    if (is_away)
        return;
    sim->is_store_back = true;
    sim_memory_scarce(sim);
    for (unsigned i = 0; i < sim->plan.n_users; i++)
        push_on_missed(&sim->node, span_of(sim->users[i].id), true);
    sim_memory_plenty();
}

uint64_t sim_store_ack_under_way(struct sim *sim, unsigned user)
{
    uint64_t highest = 0;
    LIST_FOR_EACH(link, &sim->store->waiting)
    {
        const struct held *held = CONTAINER_OF(link, struct held, link);
        if (held->op != STORE_OP_ACK)
            continue;
        const struct store_ack *ack = CONTAINER_OF(held->request, struct store_ack, request);
        if (span_equal(ack->user_id, span_of(sim->users[user].id)) && ack->seq > highest)
            highest = ack->seq;
    }
    return highest;
}

static void on_own_peek(struct store_request *request)
{
    (void)request; /* looked at after the turn */
}

struct store_peek sim_store_peek(struct sim *sim, unsigned user)
{
    struct store_peek peek = {.request = {.on_done = on_own_peek},
                              .user_id = span_of(sim->users[user].id)};
    store_peek(sim->store->inner, &peek);
    sim_inner_turn(sim->store->inner);
    return peek;
}

void sim_store_compare_heads(struct sim *sim)
{
    enum { PERIOD_MS = 1000 };
    if (sim->now_ms - sim->compared_ms < PERIOD_MS || sim->store->is_dead || sim->store->is_away)
        return;
    sim->compared_ms = sim->now_ms;
    for (unsigned i = 0; i < sim->plan.n_users; i++) {
        struct store_known known;
        push_get_known(&sim->node, span_of(sim->users[i].id), &known);
        bool is_online = client_map_count(sim->node.map, span_of(sim->users[i].id)) > 0;
        if (!is_online || known.head == sim_store_peek(sim, i).head)
            continue;
        sim->totals.heads_behind++;
        sim_memory_scarce(sim);
        push_on_missed(&sim->node, span_of(sim->users[i].id), true);
        sim_memory_plenty();
    }
}

static int64_t inner_now_ms(void *owner)
{
    return sim_wall_ms(owner);
}

void sim_store_open(struct sim *sim)
{
    struct sim_store *sim_store = calloc(1, sizeof *sim_store);
    sim_store->store.ops = &ops;
    sim_store->sim = sim;
    list_init(&sim_store->waiting);
    list_init(&sim_store->handed_on);
    list_init(&sim_store->unanswered);
    sim->store = sim_store;
    present = sim_store;
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
    if (sim_inner_open(&config, inner_now_ms, &sim_store->inner) != ERR_OK)
        sim_fail(sim, "the store cannot be opened");
}

void sim_store_close(struct sim *sim)
{
    store_close(sim->store->inner);
    free(sim->store);
}
