/* Questions of this node to others, and the gathering of their answers. A question is published
 * with the name of this node's reply channel and a number; each node that gets it answers there
 * with a count, and perhaps a text. One per store, on the first lane's thread. */
#ifndef HERALD_STORE_REDIS_GATHER_H
#define HERALD_STORE_REDIS_GATHER_H

#include "gateway/stores/redis/redis_commands.h"

enum { REDIS_ASK_MAX_BYTES = EPOCH_LEN + 20, REDIS_SUFFIX_MAX_BYTES = 8 + EPOCH_LEN };

struct redis_gather {
    struct redis_common *common;
    struct reactor *reactor;
    void *owner; /* of_channel: whose link takes what is published there */
    struct redis_commands *(*of_channel)(void *owner, struct span channel);
    _Atomic struct epoch name;   /* of this node's reply channel; any thread may read it */
    _Atomic struct epoch former; /* the one before: its questions may still come back */
    char all[REDIS_CHANNELS_MAX_BYTES + REDIS_SUFFIX_MAX_BYTES];
    char reply[REDIS_CHANNELS_MAX_BYTES + REDIS_SUFFIX_MAX_BYTES];
    char node[REDIS_CHANNELS_MAX_BYTES + REDIS_SUFFIX_MAX_BYTES];
    uint64_t last_number;
    struct list asked; /* struct redis_ask */
    bool is_closing;
};

/* One question of this node; embedded by what is asked. It is over when all that got it have
 * answered, or STORE_REPLIES_MS have passed; with waits_here also this node has, which the caller
 * asks itself. */
struct redis_ask {
    struct list link;
    struct timer timer;
    struct redis_gather *gather;
    uint64_t number;
    uint64_t count;     /* sum of the answers */
    unsigned n_answers; /* this node's included */
    unsigned n_heard;   /* of the receivers: those that have answered; with waits_here our own
                         * question that came back counts, and our own answer does not */
    unsigned n_receivers;
    bool has_receivers; /* Redis has said how many got it */
    bool is_sent;       /* false: Redis is away, and nobody gets it */
    bool waits_here;
    bool is_answered_here;
    bool is_late;
    void (*on_text)(struct redis_ask *ask, struct span text); /* of an answer; NULL: not wanted */
    void (*on_over)(struct redis_ask *ask); /* takes it; never inside redis_gather_publish */
};

/* owner and of_channel are set by the caller before. */
MUST_CHECK enum err redis_gather_init(struct redis_gather *gather, struct redis_common *common,
                                      struct reactor *reactor);
/* What is asked is over. */
void redis_gather_fini(struct redis_gather *gather);

struct span
redis_gather_all_channel(const struct redis_gather *gather); /* CHANNELS:all: every node */
struct span redis_gather_reply_channel(const struct redis_gather *gather);
/* CHANNELS:node:NAME: this node alone. */
struct span redis_gather_node_channel(const struct redis_gather *gather);
/* Is it the name of this node, or was it until lately? Any thread. */
bool redis_gather_is_own(const struct redis_gather *gather, struct epoch name);
/* Another reply channel from now on: answers to what was asked before find nobody. */
void redis_gather_rename(struct redis_gather *gather, struct epoch name);
/* The reply channel of any node, and where it is asked alone. */
void redis_gather_name_channel(const struct redis_common *common, const struct epoch *name,
                               char out[REDIS_CHANNELS_MAX_BYTES + REDIS_SUFFIX_MAX_BYTES]);
void redis_gather_name_node(const struct redis_common *common, const struct epoch *name,
                            char out[REDIS_CHANNELS_MAX_BYTES + REDIS_SUFFIX_MAX_BYTES]);

/* Numbers the ask, publishes it on `channel`, and waits. `kind` and `rest` make the message
 * "K:NAME:NUMBER:rest". With waits_here the caller hands the question to this node as well
 * (redis_question_new with its own name and the ask's number). Without it, and not is_sent, the ask
 * is over already: the caller calls redis_gather_end. */
void redis_gather_publish(struct redis_gather *gather, struct redis_ask *ask, struct span channel,
                          char kind, struct span rest);

/* Takes an ask that was published back: on_over is not called. */
void redis_gather_end(struct redis_ask *ask);

/* Is this a question of this node, come back? Then it is counted, and no event is due. */
bool redis_gather_take_own(struct redis_gather *gather, struct epoch name, uint64_t number);

/* A message of the reply channel. */
void redis_gather_take_answer(struct redis_gather *gather, struct span message);

/* This node's own answer. */
void redis_gather_answer_here(struct redis_gather *gather, uint64_t number, uint64_t count,
                              struct span text);

#endif
