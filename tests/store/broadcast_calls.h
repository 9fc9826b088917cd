/* Broadcasts as calls that wait for their answer, as contract_calls.h. */
#ifndef HERALD_TESTS_STORE_BROADCAST_CALLS_H
#define HERALD_TESTS_STORE_BROADCAST_CALLS_H

#include "tests/store/contract_calls.h"

struct broadcast_call {
    struct store_broadcast broadcast;
    struct call call;
};

void broadcast_begin(struct store *to, struct broadcast_call *call, const char *text);

void broadcast_end(struct broadcast_call *call);

struct store_broadcast broadcast_one(struct store *to, const char *text);

#endif
