/* Questions about users, and what is sent to them, as calls that wait for their answer, as
 * contract_calls.h. */
#ifndef HERALD_TESTS_STORE_ASK_CALLS_H
#define HERALD_TESTS_STORE_ASK_CALLS_H

#include "tests/store/contract_calls.h"

struct ask_call {
    struct store_ask ask;
    struct call call;
};

void ask_begin(struct store *to, struct ask_call *call, const char *user, struct store_asked asked);

void ask_end(struct ask_call *call);

/* The texts are freed. */
struct store_ask ask_one(struct store *to, const char *user, struct store_asked asked);

/* To one user, kept nowhere. */
struct store_target send_one(struct store *to, const char *user, struct span data);

/* For the connection with this number alone; 0: for all. */
struct store_target send_to_connection(struct store *to, const char *user, uint64_t connection,
                                       struct span data);

enum err online_of(struct store *to, const struct span *users, size_t n, bool *is_online);

#endif
