/* Questions about a user, from one node to all that are subscribed to him: each answers on its own
 * way back, late or not at all, and after 250 ms it is over. Whoever did not hear its own question
 * asks itself (redis_user_ask.c does the same). */
#include "gateway/requests/questions.h"
#include "gateway/store/store_ask.h"
#include "tests/sim/sim.h"

#include <stdlib.h>

enum ask_state { ASK_NEW, ASK_OUT, ASK_HERE, ASK_OVER };

struct sim_ask {
    struct list link;
    struct sim_node *node;
    struct store_ask *ask;
    unsigned number;
    enum ask_state state;
    unsigned n_receivers;
    unsigned n_answers;
    bool is_answered_here;
    int64_t until_ms;
};

/* A question at a node, and then its answer on the way back. */
struct sim_asked {
    struct list link;
    struct store_user_question question;
    struct sim_node *at;
    unsigned number;
    unsigned user;
    int64_t due_ms;
    bool is_past_the_store; /* the asker has asked itself */
};

static struct sim_ask *find_ask(struct sim *sim, unsigned number)
{
    LIST_FOR_EACH(link, &sim->asks)
    {
        struct sim_ask *ask = CONTAINER_OF(link, struct sim_ask, link);
        if (ask->number == number)
            return ask;
    }
    return NULL; /* it is over, or its node is */
}

static unsigned user_of(const struct sim_ask *ask)
{
    struct sim *sim = ask->node->sim;
    return (unsigned)(sim_model_user(sim, ask->ask->user_id) - sim->users);
}

void sim_ask_begin(struct sim_node *node, struct store_ask *question)
{
    struct sim *sim = node->sim;
    struct sim_ask *ask = calloc(1, sizeof *ask);
    *ask = (struct sim_ask){.node = node, .ask = question, .number = ++sim->n_asks};
    list_append(&sim->asks, &ask->link);
    sim->totals.questions++;
}

/* ---- at the nodes ---- */

/* Any time, within the call that asks or later. */
static void on_answer(struct store_question *question)
{
    struct sim_asked *asked = CONTAINER_OF(question, struct sim_asked, question.question);
    struct sim *sim = asked->at->sim;
    buf_fini(&question->text);
    bool is_lost = !asked->is_past_the_store &&
                   (sim_link_is_dead(asked->at) || sim_link_is_away(asked->at, asked->user) ||
                    (!sim->is_calm && sim_chance(sim, sim->plan.mute_per_mille)));
    if (is_lost) {
        free(asked);
        return;
    }
    asked->due_ms = sim->now_ms + (int64_t)sim_below(sim, sim->is_calm ? 20 : 100);
    list_append(&sim->answers, &asked->link);
}

static void ask_node(struct sim_node *node, struct sim_ask *ask, bool is_past_the_store)
{
    struct sim_asked *asked = calloc(1, sizeof *asked);
    asked->at = node;
    asked->number = ask->number;
    asked->user = user_of(ask);
    asked->is_past_the_store = is_past_the_store;
    asked->question = (struct store_user_question){
        .question = {.on_answer = on_answer},
        .owner = &node->node,
        .user_id = span_of(node->sim->users[user_of(ask)].id),
        .asked = ask->ask->asked,
    };
    asked->question.asked.reason = SPAN_NONE; /* the asker's may be gone by then */
    sim_node_begin(node, asked->question.user_id);
    questions_on_asked(&asked->question);
    sim_node_end(node);
}

void sim_ask_hear(struct sim_node *node, unsigned number)
{
    struct sim_ask *ask = find_ask(node->sim, number);
    if (ask != NULL)
        ask_node(node, ask, false);
}

/* ---- at the asker ---- */

static void finish_ask(struct sim_ask *ask)
{
    struct store_ask *question = ask->ask;
    struct sim_node *node = ask->node;
    question->n_asked = ask->n_receivers + question->n_answered;
    question->n_answered += ask->n_answers;
    node->sim->totals.answers_missing += question->n_asked - question->n_answered;
    bool is_whole = question->n_answered == question->n_asked;
    sim_trace(node->sim, "question %u: %u of %u nodes, count %u", ask->number, question->n_answered,
              question->n_asked, (unsigned)question->count);
    if (question->asked.kind == STORE_ASK_KICK && is_whole)
        sim_fleet_kicked(node->sim, ask->number);
    list_remove(&ask->link);
    free(ask);
    sim_node_begin(node, SPAN_NONE);
    question->request.on_done(&question->request);
    sim_node_end(node);
}

static void take_answer(struct sim_ask *ask, const struct sim_asked *asked)
{
    ask->ask->count += asked->question.question.count;
    if (asked->is_past_the_store) {
        ask->ask->n_answered += asked->question.question.count > 0 || ask->ask->is_alone;
        ask->state = ASK_OVER;
    } else {
        ask->n_answers++;
        ask->is_answered_here |= asked->at == ask->node;
    }
    if (ask->ask->asked.kind == STORE_ASK_KICK)
        asked->at->sim->totals.closed_by_kick += asked->question.question.count;
}

static void take_answers(struct sim *sim)
{
    LIST_FOR_EACH_SAFE(link, &sim->answers)
    {
        struct sim_asked *asked = CONTAINER_OF(link, struct sim_asked, link);
        struct sim_ask *ask = find_ask(sim, asked->number);
        if (asked->due_ms > sim->now_ms)
            continue;
        if (ask != NULL)
            take_answer(ask, asked);
        list_remove(&asked->link);
        free(asked);
    }
}

static void publish_ask(struct sim_ask *ask)
{
    struct sim *sim = ask->node->sim;
    unsigned user = user_of(ask);
    if (sim_link_is_away(ask->node, user)) {
        sim->totals.asked_alone++;
        ask->ask->is_alone = true;
        ask->state = ASK_HERE;
        ask_node(ask->node, ask, true);
        return;
    }
    ask->state = ASK_OUT;
    ask->until_ms = sim->now_ms + STORE_REPLIES_MS;
    if (ask->ask->asked.kind == STORE_ASK_KICK)
        sim_fleet_kicking(sim, user, ask->number);
    if (ask->ask->asked.kind == STORE_ASK_WRITTEN)
        sim_fleet_asking(sim, user, ask->ask->asked.seq);
    ask->n_receivers = sim_channel_publish_ask(sim, user, ask->number);
    sim_trace(sim, "question %u of node %u about user %u, to %u nodes", ask->number,
              ask->node->index, user, ask->n_receivers);
}

static void turn_ask(struct sim_ask *ask)
{
    const struct sim *sim = ask->node->sim;
    if (ask->state == ASK_NEW)
        publish_ask(ask);
    bool is_over = ask->n_answers >= ask->n_receivers || sim->now_ms >= ask->until_ms;
    if (ask->state == ASK_OUT && is_over && ask->is_answered_here)
        ask->state = ASK_OVER;
    else if (ask->state == ASK_OUT && is_over) {
        ask->state = ASK_HERE;
        ask_node(ask->node, ask, true);
    }
    if (ask->state == ASK_OVER)
        finish_ask(ask);
}

void sim_ask_turn(struct sim *sim)
{
    take_answers(sim);
    LIST_FOR_EACH_SAFE(link, &sim->asks)
    {
        turn_ask(CONTAINER_OF(link, struct sim_ask, link));
    }
}

size_t sim_ask_lose(struct sim_node *node)
{
    size_t n = 0;
    LIST_FOR_EACH_SAFE(link, &node->sim->asks)
    {
        struct sim_ask *ask = CONTAINER_OF(link, struct sim_ask, link);
        struct store_ask *question = ask->ask;
        if (ask->node != node)
            continue;
        list_remove(&ask->link);
        free(ask);
        question->error = ERR_STORE_UNAVAILABLE;
        question->request.on_done(&question->request);
        n++;
    }
    return n;
}
