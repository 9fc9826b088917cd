/* Questions to all nodes, and the gathering of their answers. A node publishes a question with the
 * name of its reply channel and a number; each node that gets it answers there with a count.
 * One per store, on the first lane's thread, except store_answer. */
#ifndef HERALD_STORE_REDIS_GATHER_H
#define HERALD_STORE_REDIS_GATHER_H

#include "gateway/stores/redis/redis_commands.h"

enum { REDIS_ASK_MAX_BYTES = EPOCH_LEN + 20, REDIS_SUFFIX_MAX_BYTES = 8 + EPOCH_LEN };

struct redis_gather {
    struct redis_common *common;
    struct reactor *reactor;
    void *owner; /* of_channel: whose link takes what is published there */
    struct redis_commands *(*of_channel)(void *owner, struct span channel);
    struct epoch name; /* of this node's reply channel */
    char all[REDIS_CHANNELS_MAX_BYTES + REDIS_SUFFIX_MAX_BYTES];
    char reply[REDIS_CHANNELS_MAX_BYTES + REDIS_SUFFIX_MAX_BYTES];
    uint64_t last_number;
    struct list asked; /* struct redis_ask */
    struct list heard; /* questions of any node that this one has not answered yet */
};

/* One question of this node; embedded by what is asked. It is over when this node has answered, and
 * all that got it have, or STORE_REPLIES_MS have passed. */
struct redis_ask {
    struct list link;
    struct timer timer;
    struct redis_gather *gather;
    uint64_t number;
    uint64_t count;     /* sum of the answers */
    unsigned n_answers; /* this node's included */
    unsigned n_heard;   /* messages that came back: answers of others, and our own question */
    unsigned n_receivers;
    bool has_receivers; /* Redis has said how many got it */
    bool is_answered_here;
    bool is_late;
    void (*on_over)(struct redis_ask *ask); /* takes it; never inside the calls below */
};

/* owner and of_channel are set by the caller before. */
MUST_CHECK enum err redis_gather_init(struct redis_gather *gather, struct redis_common *common,
                                      struct reactor *reactor);
/* What is asked is over. Questions that were heard are forgotten. */
void redis_gather_fini(struct redis_gather *gather);

struct span
redis_gather_all_channel(const struct redis_gather *gather); /* CHANNELS:all: every node */
struct span redis_gather_reply_channel(const struct redis_gather *gather);

/* Numbers the ask, publishes it on `channel`, and waits. `kind` and `rest` make the message
 * "K:NAME:NUMBER:rest". While Redis is away this node alone is asked. The caller then hands the
 * question to this node (redis_question_new with its own name and the ask's number). */
void redis_gather_publish(struct redis_gather *gather, struct redis_ask *ask, struct span channel,
                          char kind, struct span rest);

/* The same again, of a message: false: it is malformed. *ret_rest is inside `message`. */
bool redis_gather_read(struct span message, struct epoch *ret_name, uint64_t *ret_number,
                       struct span *ret_rest);

/* Is this a question of this node, come back? Then it is counted, and no event is due. */
bool redis_gather_take_own(struct redis_gather *gather, struct epoch name, uint64_t number);

/* A message of the reply channel. */
void redis_gather_take_answer(struct redis_gather *gather, struct span message);

/* For an event: store_answer sends its answer to the node that asked, and frees it. NULL: no
 * memory. */
struct store_question *redis_question_new(struct redis_gather *gather, struct epoch name,
                                          uint64_t number);
/* Frees one that will not be answered. */
void redis_question_free(struct store_question *asked);

#endif
