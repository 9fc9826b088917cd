/* The comparison of heads: what Redis has of each user who is online here is compared with what the
 * node knows, once in REDIS_HEADS_PERIOD_MS. So a notification whose message was lost is found
 * although nothing follows it, and so is a Redis that has lost something, and a block of which the
 * node was not told.
 *
 * A user's turn depends on his hash alone, so the users are spread over the period, also while the
 * table grows. At most REDIS_HEADS_AT_ONCE users are asked about at a time, two commands each.
 *
 * A head that is higher than the node knows may be that of a message that is still on its way on
 * the other link. So it counts only if the node does not know it REDIS_HEADS_WAIT_MS later either.
 * Everything that differs ends in on_missed: the page that is read then says what the node knows,
 * and its script decides whether Redis has lost something. On the lane's thread. */
#ifndef HERALD_STORE_REDIS_HEADS_H
#define HERALD_STORE_REDIS_HEADS_H

#include "gateway/stores/redis/redis_subs.h"

enum {
    REDIS_HEADS_TICK_MS = 1000,
    REDIS_HEADS_WAIT_MS = 1000,
    REDIS_HEADS_PERIOD_MS = 55000, /* with both of these, and Redis's answer, below a minute */
    REDIS_HEADS_AT_ONCE = 64,
};

/* A user, held (redis_subs_release), and what the node knew of him when Redis was asked. */
struct redis_heads_user {
    struct redis_sub *sub;
    struct store_known known;
};

/* A user, held, whose head in Redis was this one. */
struct redis_heads_behind {
    struct redis_sub *sub;
    struct store_known found;
    int64_t since_ms;
};

struct redis_heads {
    struct redis_subs *subs; /* NULL: it does nothing, because nobody says what the node knows */
    struct reactor *reactor;
    struct timer timer;
    int64_t ticked_ms;
    uint64_t at; /* the next turn; the low 32 bits are reversed hashes (hash_reverse_bits) */
    uint64_t to; /* whose turn is before this one is due */
    size_t n_asked;
    size_t n_awaited; /* answers */
    size_t n_behind;
    struct redis_heads_user asked[REDIS_HEADS_AT_ONCE];
    struct redis_heads_behind behind[REDIS_HEADS_AT_ONCE];
};

void redis_heads_init(struct redis_heads *heads, struct redis_subs *subs, struct reactor *reactor);
/* Before redis_subs_fini; answers that come later are dropped. */
void redis_heads_fini(struct redis_heads *heads);

#endif
