/* A store for runs without memory: every inbox is empty and has the same epoch. It answers at once,
 * takes no memory, and is asked for pages and positions alone. */
#ifndef HERALD_TESTS_EMPTY_STORE_H
#define HERALD_TESTS_EMPTY_STORE_H

#include "gateway/store/store_backend.h"
#include "tests/alloc/fail.h"

static const struct epoch empty_store_epoch = {"abcdefgh"};

static inline void empty_store_submit(struct store *store, struct store_request *request,
                                      enum store_op op)
{
    (void)store;
    CHECK(op == STORE_OP_PAGE || op == STORE_OP_ACK);
    if (op == STORE_OP_PAGE)
        CONTAINER_OF(request, struct store_page, request)->epoch = empty_store_epoch;
    request->on_done(request);
}

static inline void empty_store_leave(struct store *store, unsigned lane, struct span user_id)
{
    (void)store, (void)lane, (void)user_id;
}

static inline int64_t empty_store_now_ms(const struct store *store)
{
    (void)store;
    return 1;
}

static const struct store_ops empty_store_ops = {
    .submit = empty_store_submit, .leave = empty_store_leave, .now_ms = empty_store_now_ms};

#endif
