/* What the requests of the store are: whose, how each fails, and how each is shown to the model. */
#include "tests/sim/sim.h"

#include <stdlib.h>

static struct store_append *append_of(struct store_request *request)
{
    return CONTAINER_OF(request, struct store_append, request);
}

static struct store_page *page_of(struct store_request *request)
{
    return CONTAINER_OF(request, struct store_page, request);
}

struct span *sim_request_user(struct store_request *request, enum store_op op)
{
    switch (op) {
    case STORE_OP_APPEND:
    case STORE_OP_SEND:
        return &append_of(request)->targets[0].user_id;
    case STORE_OP_PAGE:
        return &page_of(request)->user_id;
    case STORE_OP_ACK:
        return &CONTAINER_OF(request, struct store_ack, request)->user_id;
    case STORE_OP_LOOK:
        return &CONTAINER_OF(request, struct store_look, request)->user_id;
    case STORE_OP_WITHDRAW:
        return &CONTAINER_OF(request, struct store_withdraw, request)->user_id;
    case STORE_OP_BLOCK:
        return &CONTAINER_OF(request, struct store_block, request)->user_id;
    default:
        return &CONTAINER_OF(request, struct store_peek, request)->user_id;
    }
}

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

void sim_request_fail(struct store_request *request, enum store_op op)
{
    const enum err error = ERR_STORE_UNAVAILABLE;
    if (op == STORE_OP_APPEND || op == STORE_OP_SEND)
        fail_append(append_of(request));
    else if (op == STORE_OP_PAGE)
        fail_page(page_of(request));
    else if (op == STORE_OP_ACK)
        CONTAINER_OF(request, struct store_ack, request)->error = error;
    else if (op == STORE_OP_LOOK)
        CONTAINER_OF(request, struct store_look, request)->error = error;
    else if (op == STORE_OP_WITHDRAW)
        CONTAINER_OF(request, struct store_withdraw, request)->error = error;
    else if (op == STORE_OP_BLOCK)
        CONTAINER_OF(request, struct store_block, request)->error = error;
    else
        CONTAINER_OF(request, struct store_peek, request)->error = error;
}

/* ---- showing ---- */

void sim_request_show(struct sim_node *node, struct store_request *request, enum store_op op)
{
    if (op == STORE_OP_APPEND)
        sim_model_appended(node, append_of(request));
    else if (op == STORE_OP_ACK)
        sim_model_acked(node, CONTAINER_OF(request, struct store_ack, request));
    else if (op == STORE_OP_PAGE)
        sim_model_paged(node->sim, page_of(request));
    else if (op == STORE_OP_LOOK)
        sim_model_looked(node->sim, CONTAINER_OF(request, struct store_look, request));
    else if (op == STORE_OP_WITHDRAW)
        sim_model_withdrawn(node->sim, CONTAINER_OF(request, struct store_withdraw, request));
    else if (op == STORE_OP_BLOCK)
        sim_fleet_blocked(node->sim, CONTAINER_OF(request, struct store_block, request));
}

/* ---- one request for each target ---- */

struct pieces;

struct piece {
    struct store_append append;
    struct pieces *of;
};

struct pieces {
    struct store_request *whole;
    size_t n_left;
    struct piece pieces[];
};

static void on_piece(struct store_request *request)
{
    struct pieces *pieces = CONTAINER_OF(request, struct piece, append.request)->of;
    struct store_request *whole = pieces->whole;
    if (--pieces->n_left > 0)
        return;
    free(pieces);
    whole->on_done(whole);
}

void sim_request_split(struct store_request *request, enum store_op op, struct sim_link *link,
                       void (*take)(struct sim_link *link, struct store_request *piece,
                                    enum store_op op))
{
    struct store_append *whole = append_of(request);
    size_t n = whole->n_targets;
    struct pieces *pieces = calloc(1, sizeof *pieces + n * sizeof pieces->pieces[0]);
    pieces->whole = request;
    pieces->n_left = n;
    for (size_t i = 0; i < n; i++) {
        struct piece *piece = &pieces->pieces[i];
        piece->append = *whole;
        piece->append.request.on_done = on_piece;
        piece->append.n_targets = 1;
        piece->append.targets = &whole->targets[i];
        piece->of = pieces;
    }
    for (size_t i = 0; i < n; i++)
        take(link, &pieces->pieces[i].append.request, op);
}
