/* The command side of a lane: a link, what is asked of Redis once it is connected (its version and
 * settings, the scripts), and scripts by name. On the lane's thread. */
#ifndef HERALD_STORE_REDIS_COMMANDS_H
#define HERALD_STORE_REDIS_COMMANDS_H

#include "gateway/stores/redis/redis_common.h"
#include "gateway/stores/redis/redis_link.h"

/* redis_trial.c */
struct redis_trial {
    struct timer timer;
    bool is_under_way;
    struct redis_refusals asked;   /* when it was sent */
    struct redis_refusals settled; /* up to these all is well again */
};

enum { SHA_HEX_LEN = 40, EVAL_MAX_ARGS = 22, REDIS_ASK_TIME_MS = 60000 };

struct redis_commands {
    struct redis_common *common;
    struct reactor *reactor;
    struct redis_link *link;
    bool is_ready;
    bool is_first;    /* of the first lane, which looks each second whether writes are taken */
    bool is_denied;   /* scripts would break off in their middle: none is sent */
    bool was_replica; /* what answered before was one: the owner clears it */
    struct timer clock_timer; /* the next TIME */
    int64_t clock_asked_ms;   /* the one that was asked last */
    char sha[SCRIPTS][SHA_HEX_LEN + 1];
    void *owner;
    void (*on_ready)(void *owner);
    void (*on_lost)(void *owner);  /* only after on_ready */
    void (*on_heard)(void *owner); /* what was kept meanwhile was not published; now all is */
    struct redis_trial trial;
    struct store_request *refused; /* to be answered at the turn's end */
    struct store_request **refused_last;
    struct reactor_task refuse_task;
};

/* Callbacks, owner and is_first are set by the caller before. */
MUST_CHECK enum err redis_commands_init(struct redis_commands *commands,
                                        struct redis_common *common, struct reactor *reactor);
/* Answers what is under way. */
void redis_commands_fini(struct redis_commands *commands);

/* Runs a script: n_keys keys, then its arguments. on_reply's owner is `commands`. With its text
 * (EVAL) instead of its name (EVALSHA) where Redis said NOSCRIPT. Errors: as redis_link_command. */
MUST_CHECK enum err redis_commands_eval(struct redis_commands *commands, enum redis_script script,
                                        bool with_text, const struct span *args, size_t n_args,
                                        size_t n_keys, redis_reply_fn on_reply, void *arg,
                                        size_t index);

/* Another command than a script, as above. */
MUST_CHECK enum err redis_commands_send(struct redis_commands *commands, const struct span *args,
                                        size_t n_args, redis_reply_fn on_reply, void *arg);

/* Tells the operator about an error, and what it means for the store. One of a replica breaks the
 * link, so that the name is looked up again. */
void redis_commands_refused(struct redis_commands *commands, const char *error);

/* From here on no script is sent, or again: the store is down while one lane sends none. For
 * redis_trial.c. */
void redis_commands_deny(struct redis_commands *commands, bool is_denied);

/* The first trial was answered: on_ready. For redis_trial.c. */
void redis_commands_become_ready(struct redis_commands *commands);

/* Calls on_done at the end of the turn, so that it never runs inside the call that asked. */
void redis_commands_refuse(struct redis_commands *commands, struct store_request *request);

#endif
