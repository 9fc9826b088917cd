/* A push that waits, on one node, for an acknowledgement that may come in on another: the other
 * node is told (store_watch), and says when it has come (store_watch_answer). Nothing is kept, and
 * either may get lost: who waits looks at the store as well. */
#ifndef HERALD_STORE_STORE_WATCH_H
#define HERALD_STORE_STORE_WATCH_H

#include "proto/note/message_id.h"

struct store_watch {
    struct epoch node; /* who waits; the store's own */
    uint64_t number;   /* of the wait there; below 10^15 */
    struct epoch epoch;
    uint64_t seq;
};

#endif
