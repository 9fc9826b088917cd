/* Requests that wait until the store is here (store_upgrade.h): a list in the order in which they
 * came, bounded. For the thread that runs the store's turns. */
#ifndef HERALD_STORE_LOCAL_DEFERRED_H
#define HERALD_STORE_LOCAL_DEFERRED_H

#include "gateway/store/store_request.h"

/* In store_request.op, beside the enum store_op: it has waited, or found no room to wait. */
enum { OP_WAS_DEFERRED = 0x200 };

/* All zeros is an empty list. */
struct local_deferred {
    struct store_request *first;
    struct store_request *last;
    size_t n;
    uint64_t bytes;
};

/* Keeps those of a chain that can wait. Answers the chain of the others, which are to be answered
 * now: first those whose time is over, oldest first, then those that do not wait. */
MUST_CHECK struct store_request *local_deferred_sort(struct local_deferred *deferred,
                                                     struct store_request *requests,
                                                     int64_t now_ms);

/* All that wait, oldest first; the list is empty afterwards. */
MUST_CHECK struct store_request *local_deferred_take(struct local_deferred *deferred);

/* How long until the time of the first is over, at most max_ms. */
int64_t local_deferred_rest_ms(const struct local_deferred *deferred, int64_t now_ms,
                               int64_t max_ms);

#endif
