/* Questions that a node hears, of itself or of another one, and its answers to them. A question
 * names the node that asks, by its reply channel, and has a number. One per lane, on the lane's
 * thread; only store_answer may be called on any. */
#ifndef HERALD_STORE_REDIS_ASKED_H
#define HERALD_STORE_REDIS_ASKED_H

#include "gateway/stores/redis/redis_gather.h"

struct redis_asked {
    struct redis_common *common;
    struct reactor *reactor;
    struct redis_gather *gather; /* where this node asks, on the first lane */
    void *owner;
    /* Whose link has the channel: answers go out there. */
    struct redis_commands *(*of_channel)(void *owner, struct span channel);
    /* Whose link has the user's positions, and his slot. */
    struct redis_commands *(*of_user)(void *owner, struct span user_id, uint16_t *ret_slot);
    struct list heard; /* what this lane has not answered yet */
};

/* owner, of_channel and of_user are set by the caller before. */
void redis_asked_init(struct redis_asked *asked, struct redis_common *common,
                      struct reactor *reactor, struct redis_gather *gather);
/* What was heard is forgotten. */
void redis_asked_fini(struct redis_asked *asked);

/* For an event: store_answer sends its answer to the node that asked, and frees it. It goes out
 * behind the requests that were made before on the thread that answers, if that is the lane's.
 * NULL: no memory. */
struct store_question *redis_question_new(struct redis_asked *asked, struct epoch name,
                                          uint64_t number);
/* Frees one that will not be answered. */
void redis_question_free(struct store_question *question);

/* A message on a user's channel, or with an empty user_id on that of this node: a question is
 * handed to on_question. One of a kind that does not belong there, or that this version does not
 * know, is skipped. */
void redis_asked_take(struct redis_asked *asked, struct span user_id, struct span message);

#endif
