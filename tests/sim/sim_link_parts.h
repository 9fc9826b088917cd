/* What the files of a link share: sim_link.c and sim_link_ends.c. */
#ifndef HERALD_TESTS_SIM_LINK_PARTS_H
#define HERALD_TESTS_SIM_LINK_PARTS_H

#include "tests/sim/sim.h"

/* A request on its way to the store, there, or on its way back. */
struct held {
    struct list link;
    struct sim_link *at;
    struct store_request *request;
    void (*on_done)(struct store_request *request);
    enum store_op op;
    unsigned user;
    struct span user_id; /* as the node has it */
    int64_t since_ms;
};

struct sim_link {
    struct store store; /* first: it is handed out */
    struct sim_node *node;
    struct list waiting;    /* not handed on yet */
    struct list handed_on;  /* in the store's hands */
    struct list answered;   /* on the way back */
    struct list unanswered; /* lost in a crash */
    bool is_dead;
};

static inline struct held *held_first(struct list *list)
{
    return CONTAINER_OF(list->next, struct held, link);
}

void held_hand_on(struct held *held);
void held_answer(struct held *held); /* the node hears the answer, or that there is none */
void held_fail(struct held *held);   /* and was not carried out */
void held_hide(struct held *held);   /* it was, but the answer is lost: held_answer is due */

#endif
