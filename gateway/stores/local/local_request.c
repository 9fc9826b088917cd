#include "gateway/stores/local/local_request.h"

#include "gateway/store/store_backend.h"
#include "gateway/store/store_event_request.h"
#include "gateway/stores/local/local_apply.h"

#include <assert.h>

static void apply_event_request(struct local_state *state, struct store_request *request)
{
    void *of = request;
    if (request->op == STORE_OP_EVENT_APPEND)
        local_apply_event_append(state, of);
    else if (request->op == STORE_OP_CONSUMERS)
        local_apply_consumers(state, of);
    else if (request->op == STORE_OP_PRESENCE)
        local_apply_presence(state, of);
    else if (request->op == STORE_OP_PRESENT)
        local_apply_present(state, of);
    else if (request->op == STORE_OP_SERVE)
        local_apply_serve(state, of);
    else if (request->op == STORE_OP_ALERT_END)
        local_apply_alert_end(state, of);
    else
        assert(request->op == STORE_OP_SEND); /* sent when what was asked before it is reported */
}

void local_apply_request(struct local_state *state, struct store_request *request)
{
    int kind = request->op & OP_KIND;
    request->op = kind;
    if (kind == STORE_OP_APPEND)
        local_apply_append(state, (struct store_append *)(void *)request);
    else if (kind == STORE_OP_PAGE)
        local_apply_page(state, (struct store_page *)(void *)request);
    else if (kind == STORE_OP_ACK)
        local_apply_ack(state, (struct store_ack *)(void *)request);
    else if (kind == STORE_OP_LOOK)
        local_apply_look(state, (struct store_look *)(void *)request);
    else if (kind == STORE_OP_WITHDRAW)
        local_apply_withdraw(state, (struct store_withdraw *)(void *)request);
    else if (kind == STORE_OP_BLOCK)
        local_apply_block(state, (struct store_block *)(void *)request);
    else if (kind == STORE_OP_TICKET_GIVE)
        local_apply_ticket_give(state, (struct store_ticket_give *)(void *)request);
    else if (kind == STORE_OP_TICKET_TAKE)
        local_apply_ticket_take(state, (struct store_ticket_take *)(void *)request);
    else if (kind == STORE_OP_ONLINE)
        ((struct store_online *)(void *)request)->error = ERR_OK;
    else if (kind == STORE_OP_PEEK)
        local_apply_peek(state, (struct store_peek *)(void *)request);
    else
        apply_event_request(state, request);
    if (!group_is_empty(&state->group))
        request->op |= OP_SAW_GROUP;
}

/* A mismatch may have been found with a first that was not kept either. */
static void fail_append(struct store_append *append)
{
    for (size_t i = 0; i < append->n_targets; i++) {
        struct store_target *target = &append->targets[i];
        if (target->error == ERR_OK || target->error == ERR_IDEMPOTENCY_MISMATCH)
            target->error = ERR_STORE_UNAVAILABLE;
        target->is_duplicate = false;
    }
}

static void fail_withdraw(struct store_withdraw *withdraw)
{
    withdraw->error = ERR_STORE_UNAVAILABLE;
    withdraw->n_removed = withdraw->n_committed;
}

static void fail_block(struct store_block *block)
{
    block->error = ERR_STORE_UNAVAILABLE;
    block->until_ms = 0;
}

void local_take_answer_back(struct store_request *request)
{
    if (!(request->op & OP_SAW_GROUP))
        return;
    /* without a default, so that the compiler reports an operation that is missing here */
    switch ((enum store_op)local_request_op(request)) {
    case STORE_OP_APPEND:
        fail_append((struct store_append *)(void *)request);
        break;
    case STORE_OP_PAGE:
        local_page_fail((struct store_page *)(void *)request, ERR_STORE_UNAVAILABLE);
        break;
    case STORE_OP_ACK:
        ((struct store_ack *)(void *)request)->error = ERR_STORE_UNAVAILABLE;
        break;
    case STORE_OP_LOOK:
        ((struct store_look *)(void *)request)->error = ERR_STORE_UNAVAILABLE;
        break;
    case STORE_OP_WITHDRAW:
        fail_withdraw((struct store_withdraw *)(void *)request);
        break;
    case STORE_OP_BLOCK:
        fail_block((struct store_block *)(void *)request);
        break;
    case STORE_OP_SEND:
    case STORE_OP_ONLINE:
    case STORE_OP_TICKET_GIVE:
    case STORE_OP_TICKET_TAKE:
    case STORE_OPS:
        break; /* no group holds it */
    case STORE_OP_PEEK:
        ((struct store_peek *)(void *)request)->error = ERR_STORE_UNAVAILABLE;
        break;
    case STORE_OP_EVENT_APPEND:
    case STORE_OP_CONSUMERS:
    case STORE_OP_PRESENCE:
    case STORE_OP_PRESENT:
    case STORE_OP_SERVE:
    case STORE_OP_ALERT_END:
        store_event_answer(request, (enum store_op)local_request_op(request),
                           ERR_STORE_UNAVAILABLE);
        break;
    }
}

void local_settle_unfinished(struct store_request *request, bool is_committed)
{
    if (local_request_op(request) != STORE_OP_WITHDRAW)
        return;
    struct store_withdraw *withdraw = (struct store_withdraw *)(void *)request;
    if (is_committed)
        withdraw->n_committed = withdraw->n_removed;
    else
        fail_withdraw(withdraw);
}
