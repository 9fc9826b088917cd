#include "tests/store/block_calls.h"

static void on_block(struct store_request *request)
{
    call_answer(&((struct block_call *)(void *)request)->call);
}

static void on_ticket_give(struct store_request *request)
{
    call_answer(&((struct give_call *)(void *)request)->call);
}

static void on_ticket_take(struct store_request *request)
{
    call_answer(&((struct take_call *)(void *)request)->call);
}

void block_begin(struct store *to, struct block_call *call, const char *user, uint32_t for_s)
{
    call->block = (struct store_block){
        .request = {.on_done = on_block}, .user_id = span_of(user), .for_s = for_s};
    call_init(&call->call);
    is_inside_a_call = true;
    store_block(to, &call->block);
    is_inside_a_call = false;
}

static struct store_block block_run(struct store *to, const char *user, uint32_t for_s)
{
    struct block_call call;
    block_begin(to, &call, user, for_s);
    call_wait(&call.call);
    return call.block;
}

int64_t block_for(struct store *to, const char *user, uint32_t for_s)
{
    struct store_block block = block_run(to, user, for_s);
    cr_assert_eq(block.error, ERR_OK);
    cr_assert_eq(block.until_ms != 0, for_s != 0);
    return block.until_ms;
}

void give_begin(struct store *to, struct give_call *call, struct store_ticket_give asked)
{
    call->give = asked;
    call->give.request.on_done = on_ticket_give;
    call_init(&call->call);
    is_inside_a_call = true;
    store_ticket_give(to, &call->give);
    is_inside_a_call = false;
}

void take_begin(struct store *to, struct take_call *call, const char *ticket)
{
    call->take = (struct store_ticket_take){.request = {.on_done = on_ticket_take},
                                            .ticket = span_of(ticket)};
    call_init(&call->call);
    is_inside_a_call = true;
    store_ticket_take(to, &call->take);
    is_inside_a_call = false;
}

enum err ticket_give(struct store *to, const char *ticket, const char *user, uint32_t ttl_s)
{
    struct give_call call;
    give_begin(to, &call,
               (struct store_ticket_give){
                   .ticket = span_of(ticket), .user_id = span_of(user), .ttl_s = ttl_s});
    call_wait(&call.call);
    return call.give.error;
}

struct store_ticket_take ticket_take(struct store *to, const char *ticket)
{
    struct take_call call;
    take_begin(to, &call, ticket);
    call_wait(&call.call);
    return call.take;
}
