/* A node's way to the store. Requests wait here until the link is turned. A turn may stop early, so
 * that the rest comes later; a crash loses what waits, as a process that dies loses what it had not
 * written. To the node a lost request is answered with an error, but there is nobody left to hear
 * it.
 *
 * A local store answers as soon as it has carried a request out. The answers of a shared one are on
 * their way for a while, and what it reports meanwhile may come before them or after them. */
#include "gateway/requests/push.h"
#include "tests/sim/sim_link_parts.h"

#include <stdlib.h>

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
    struct span user_id = *sim_request_user(request, op);
    *held = (struct held){
        .at = link,
        .request = request,
        .on_done = request->on_done,
        .op = op,
        .user = user_index(link->node->sim, user_id),
        .user_id = user_id,
        .since_ms = link->node->sim->now_ms,
    };
    list_append(link->is_dead ? &link->unanswered : &link->waiting, &held->link);
    if (op == STORE_OP_PAGE && !link->is_dead)
        check_pages(link, request->lane);
}

void sim_link_ask_page(struct sim_node *node, struct store_request *page)
{
    hold_one(node->link, page, STORE_OP_PAGE);
}

void sim_link_refuse_page(struct sim_node *node, struct store_request *page)
{
    sim_request_fail(page, STORE_OP_PAGE);
    sim_node_begin(node, SPAN_NONE);
    page->on_done(page);
    sim_node_end(node);
}

/* The page of an arrival waits for the subscription, and users may be at different places. */
static void submit_shared(struct sim_link *link, struct store_request *request, enum store_op op)
{
    const struct store_page *page = CONTAINER_OF(request, struct store_page, request);
    const struct store_append *append = CONTAINER_OF(request, struct store_append, request);
    if (op == STORE_OP_PAGE && page->is_arrival && !link->is_dead)
        sim_channel_arrive(link->node, user_index(link->node->sim, page->user_id), request);
    else if ((op == STORE_OP_APPEND || op == STORE_OP_SEND) && append->n_targets > 1)
        sim_request_split(request, op, link, hold_one);
    else
        hold_one(link, request, op);
}

static void hold(struct store *store, struct store_request *first, enum store_op op)
{
    struct store_request *next;
    for (struct store_request *request = first; request != NULL; request = next) {
        next = request->next;
        request->next = NULL;
        if (sim_store_is_shared(link_of(store)->node->sim))
            submit_shared(link_of(store), request, op);
        else
            hold_one(link_of(store), request, op);
    }
}

/* Only when nothing that was asked before it is still held here. */
static bool page_at_once(struct store *store, struct store_page *page)
{
    struct sim_link *link = link_of(store);
    struct sim *sim = link->node->sim;
    if (link->is_dead || sim_link_is_away(link->node, 0) || sim_store_is_shared(sim) ||
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

static void watch(struct store *store, unsigned lane, struct span user_id,
                  const struct store_watch *watched)
{
    struct sim_node *node = link_of(store)->node;
    (void)lane;
    if (!sim_link_is_dead(node))
        sim_watch_send(node, user_index(node->sim, user_id), watched);
}

static void answer_watch(struct store *store, unsigned lane, struct span user_id,
                         const struct store_watch *watched, uint64_t acked)
{
    struct sim_node *node = link_of(store)->node;
    (void)lane;
    if (!sim_link_is_dead(node))
        sim_watch_answer(node, user_index(node->sim, user_id), watched, acked);
}

static void describe(struct store *store, char *out, size_t cap)
{
    (void)store;
    snprintf(out, cap, "a simulation");
}

static int64_t now_ms(const struct store *store)
{
    const struct sim_node *node = link_of(store)->node;
    return sim_wall_ms(node->sim) - node->behind_ms;
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
    .watch = watch,
    .answer_watch = answer_watch,
    .leave = leave,
    .describe = describe,
    .now_ms = now_ms,
};

/* ---- what the store answers ---- */

/* The node hears the answer, or that there is none. */
void held_answer(struct held *held)
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

void held_fail(struct held *held)
{
    if (held->op == STORE_OP_ACK)
        sim_model_failed(held->at->node, CONTAINER_OF(held->request, struct store_ack, request));
    sim_request_fail(held->request, held->op);
    held_answer(held);
}

/* The connection broke after the request: it was carried out, but the answer is lost. */
void held_hide(struct held *held)
{
    struct sim *sim = held->at->node->sim;
    if (held->op == STORE_OP_APPEND)
        sim->totals.hidden++;
    if (held->op == STORE_OP_SEND)
        sim_model_push(sim, CONTAINER_OF(held->request, struct store_append, request)->payload)
            ->may_repeat = true; /* the node gives it to its own sessions as well */
    sim_request_fail(held->request, held->op);
}

/* A shared store says when its head was given, and counts the nodes that it has told. */
static void add_to_answer(struct sim *sim, struct held *held)
{
    struct store_append *append = CONTAINER_OF(held->request, struct store_append, request);
    struct store_page *page = CONTAINER_OF(held->request, struct store_page, request);
    const struct sim_user *user = &sim->users[held->user];
    if (held->op == STORE_OP_APPEND)
        append->targets[0].nodes = sim_channel_count(sim, held->user);
    if (held->op == STORE_OP_PAGE && page->head > 0)
        page->head_time = store_time(user->entries[page->head - 1].time_ms);
}

/* It comes back, at once or later. */
static void return_answer(struct held *held)
{
    struct sim_link *link = held->at;
    struct sim *sim = link->node->sim;
    bool is_away = sim_link_is_away(link->node, held->user);
    if (is_away)
        held_hide(held);
    if (is_away || link->is_dead || !sim_store_is_shared(sim)) {
        held_answer(held);
        return;
    }
    add_to_answer(sim, held);
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
            *sim_request_user(request, held->op) = held->user_id;
            if (sim_store_is_shared(present))
                sim_loss_record(present, held->user, request, held->op);
            sim_request_show(at->node, request, held->op);
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
        notification_new_live(append->payload, sim_wall_ms(sim), append->connection);
    append->targets[0].error = ERR_OK;
    append->targets[0].nodes = sim_channel_publish(sim, held->user, inbox_event_of_note(note));
    notification_unref(note);
    sim->totals.sent++;
    return_answer(held);
}

void held_hand_on(struct held *held)
{
    struct sim_link *link = held->at;
    struct sim *sim = link->node->sim;
    if (sim_store_is_shared(sim) && sim_loss_is_seen(sim, held->user, held->request, held->op)) {
        if (sim->is_full) {
            held_fail(held);
            return;
        }
        sim_loss_begin_epoch(sim, held->user, held->request, held->op);
    }
    list_remove(&held->link);
    list_append(&link->handed_on, &held->link);
    if (held->op == STORE_OP_SEND) {
        send_on(held);
        return;
    }
    held->request->on_done = on_answer;
    if (sim_store_is_shared(sim))
        *sim_request_user(held->request, held->op) = span_of(sim->users[held->user].store_id);
    sim_store_submit(sim, held->request, held->op);
    if (sim_store_is_shared(sim))
        sim_store_turn(sim);
}

/* Of a shared store, whose answers take their time. */
static void bring_answers(struct sim_link *link, bool may_stop_early)
{
    struct sim *sim = link->node->sim;
    while (!list_is_empty(&link->answered) && !(may_stop_early && sim_chance(sim, 200)))
        held_answer(held_first(&link->answered));
    if (!list_is_empty(&link->answered))
        sim->totals.late_answers++;
}

/* While a user's slot moves nothing is done for him, for 3 s at most. */
static void turn_held(struct held *held)
{
    enum { REPEAT_MS = 3000 };
    struct sim *sim = held->at->node->sim;
    bool is_away = sim_link_is_away(held->at->node, held->user);
    if (is_away && (sim_store_is_shared(sim) || sim_chance(sim, 700))) {
        held_fail(held);
    } else if (!sim->users[held->user].is_moving) {
        held_hand_on(held);
    } else if (sim->now_ms - held->since_ms > REPEAT_MS) {
        sim->totals.moved_too_long++;
        held_fail(held);
    }
}

void sim_link_turn(struct sim_node *node, bool may_stop_early)
{
    struct sim_link *link = node->link;
    struct sim *sim = node->sim;
    LIST_FOR_EACH_SAFE(at, &link->waiting)
    {
        if (may_stop_early && sim_chance(sim, 50))
            break;
        turn_held(CONTAINER_OF(at, struct held, link));
    }
    if (sim_store_is_shared(sim)) {
        bring_answers(link, may_stop_early);
        sim_channel_turn(node, may_stop_early);
        if (sim_chance(sim, 300))
            bring_answers(link, may_stop_early);
    }
    sim_store_turn(sim);
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
