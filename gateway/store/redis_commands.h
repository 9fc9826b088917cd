/* The command side of a lane: a link, what is asked of Redis once it is connected (its version and
 * settings, the scripts), and scripts by name. On the lane's thread. */
#ifndef HERALD_STORE_REDIS_COMMANDS_H
#define HERALD_STORE_REDIS_COMMANDS_H

#include "gateway/store/redis_common.h"
#include "gateway/store/redis_link.h"

enum { SHA_HEX_LEN = 40, EVAL_MAX_ARGS = 22, REDIS_ASK_TIME_MS = 60000 };

struct redis_commands {
    struct redis_common *common;
    struct reactor *reactor;
    struct redis_link *link;
    bool is_ready;
    struct timer clock_timer; /* the next TIME */
    int64_t clock_asked_ms;   /* the one that was asked last */
    char sha[SCRIPTS][SHA_HEX_LEN + 1];
    void *owner;
    void (*on_ready)(void *owner);
    void (*on_lost)(void *owner);  /* only after on_ready */
    struct store_request *refused; /* to be answered at the turn's end */
    struct store_request **refused_last;
    struct reactor_task refuse_task;
};

/* Callbacks and owner are set by the caller before. */
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

/* Calls on_done at the end of the turn, so that it never runs inside the call that asked. */
void redis_commands_refuse(struct redis_commands *commands, struct store_request *request);

#endif
