/* A user who has a session on this node, as a lane keeps him. Owned by redis_subs; the links of
 * the shards hold pointers to those that wait for an answer. On the lane's thread. */
#ifndef HERALD_STORE_REDIS_SUB_H
#define HERALD_STORE_REDIS_SUB_H

#include "gateway/base/hash_table.h"
#include "gateway/store/store_request.h"

struct redis_sub {
    struct hash_link link;
    union {
        struct store_request *waiting; /* pages, the oldest first */
        struct redis_retry *retry;     /* is_retrying: it has the pages */
    };
    uint32_t hash;
    uint32_t awaited; /* answers on the present connection */
    uint16_t shard;   /* whose link has the subscription: its index in the lane */
    bool is_wanted : 1;
    bool is_held : 1;    /* Redis has confirmed that he is subscribed */
    bool is_moved : 1;   /* his slot is elsewhere, and so is another of these, which counts */
    bool is_missed : 1;  /* on_missed is owed */
    bool is_refused : 1; /* Redis refused the last wish to subscribe him */
    bool is_retrying : 1;
    bool is_late : 1;     /* he has been refused for so long that his pages no longer wait */
    bool is_compared : 1; /* redis_heads points here */
    bool is_steady : 1;   /* no wish was sent since redis_probe has set this */
    uint8_t n_held : 2;   /* others than the table that point here: he stays */
    uint8_t user_len;
    char user[];
};

static inline struct span redis_sub_user(const struct redis_sub *sub)
{
    return (struct span){sub->user, sub->user_len};
}

#endif
