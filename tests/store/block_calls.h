/* Blocks and tickets as calls that wait for their answer, as contract_calls.h. */
#ifndef HERALD_TESTS_STORE_BLOCK_CALLS_H
#define HERALD_TESTS_STORE_BLOCK_CALLS_H

#include "tests/store/contract_calls.h"

struct block_call {
    struct store_block block;
    struct call call;
};

struct ticket_call {
    struct store_ticket ticket;
    struct call call;
};

static void on_block(struct store_request *request)
{
    call_answer(&((struct block_call *)(void *)request)->call);
}

static void on_ticket(struct store_request *request)
{
    call_answer(&((struct ticket_call *)(void *)request)->call);
}

static void block_begin(struct store *to, struct block_call *call, const char *user, uint32_t for_s)
{
    call->block = (struct store_block){
        .request = {.on_done = on_block}, .user_id = span_of(user), .for_s = for_s};
    call_init(&call->call);
    is_inside_a_call = true;
    store_block(to, &call->block);
    is_inside_a_call = false;
}

MAYBE_UNUSED static struct store_block block_run(struct store *to, const char *user, uint32_t for_s)
{
    struct block_call call;
    block_begin(to, &call, user, for_s);
    call_wait(&call.call);
    return call.block;
}

/* Answers until when. */
MAYBE_UNUSED static int64_t block_for(struct store *to, const char *user, uint32_t for_s)
{
    struct store_block block = block_run(to, user, for_s);
    cr_assert_eq(block.error, ERR_OK);
    cr_assert_eq(block.until_ms != 0, for_s != 0);
    return block.until_ms;
}

static void ticket_begin(struct store *to, struct ticket_call *call, struct store_ticket asked)
{
    call->ticket = asked;
    call->ticket.request.on_done = on_ticket;
    call_init(&call->call);
    is_inside_a_call = true;
    store_ticket(to, &call->ticket);
    is_inside_a_call = false;
}

static struct store_ticket ticket_run(struct store *to, struct store_ticket asked)
{
    struct ticket_call call;
    ticket_begin(to, &call, asked);
    call_wait(&call.call);
    return call.ticket;
}

MAYBE_UNUSED static enum err ticket_give(struct store *to, const char *ticket, const char *user,
                                         uint32_t ttl_s)
{
    return ticket_run(to, (struct store_ticket){.ticket = span_of(ticket),
                                                .user_id = span_of(user),
                                                .ttl_s = ttl_s})
        .error;
}

MAYBE_UNUSED static struct store_ticket ticket_take(struct store *to, const char *ticket)
{
    return ticket_run(to, (struct store_ticket){.ticket = span_of(ticket), .is_take = true});
}

#endif
