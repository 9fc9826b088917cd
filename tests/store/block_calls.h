/* Blocks and tickets as calls that wait for their answer, as contract_calls.h. */
#ifndef HERALD_TESTS_STORE_BLOCK_CALLS_H
#define HERALD_TESTS_STORE_BLOCK_CALLS_H

#include "tests/store/contract_calls.h"

struct block_call {
    struct store_block block;
    struct call call;
};

struct give_call {
    struct store_ticket_give give;
    struct call call;
};

struct take_call {
    struct store_ticket_take take;
    struct call call;
};

void block_begin(struct store *to, struct block_call *call, const char *user, uint32_t for_s);

/* Answers until when. */
int64_t block_for(struct store *to, const char *user, uint32_t for_s);

void give_begin(struct store *to, struct give_call *call, struct store_ticket_give asked);

void take_begin(struct store *to, struct take_call *call, const char *ticket);

enum err ticket_give(struct store *to, const char *ticket, const char *user, uint32_t ttl_s);

struct store_ticket_take ticket_take(struct store *to, const char *ticket);

#endif
