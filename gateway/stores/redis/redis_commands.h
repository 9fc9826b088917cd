/* The command side of a shard: a link, what is asked of Redis once it is connected (its version and
 * settings, the scripts), and scripts by name. On the lane's thread.
 *
 * Connected and with its scripts loaded it is not ready yet: the owner finds out what Redis takes
 * (redis_trial.h), and says so. */
#ifndef HERALD_STORE_REDIS_COMMANDS_H
#define HERALD_STORE_REDIS_COMMANDS_H

#include "gateway/stores/redis/redis_link.h"
#include "gateway/stores/redis/redis_primary.h"
#include "gateway/stores/redis/redis_run_id.h"

/* Pushes in one batch, and what each of them has of keys, and of keys and arguments. Twice as many
 * would save Redis 2 % of what a push costs, and keep it from others twice as long. */
enum { REDIS_BATCH_MAX = 16, REDIS_PUSH_KEYS = 5, REDIS_PUSH_ARGS = REDIS_PUSH_KEYS + 2 };

enum {
    SHA_HEX_LEN = 40,
    EVAL_MAX_ARGS = 3 + REDIS_BATCH_MAX * REDIS_PUSH_ARGS,
    REDIS_ASK_TIME_MS = 60000,
    REDIS_TIME_PAUSE_MS = 1000 /* at least so long between two */
};

/* One target of an append. */
struct redis_push {
    struct store_append *append;
    size_t index;
};

/* Pushes that go to Redis in one call. */
struct redis_batch {
    size_t n;
    struct redis_push pushes[REDIS_BATCH_MAX];
};

struct redis_repeats;
struct redis_alerts;
struct redis_replicas;

struct redis_commands {
    struct redis_common *common;
    struct redis_primary *primary; /* NULL: of nobody; it is never ready then */
    struct reactor *reactor;
    struct redis_resolver *resolver; /* of the link's address; NULL: that of the url */
    struct redis_link *link;
    struct redis_run_id run_id; /* of the Redis there */
    int64_t ready_ms;           /* is_ready: since when */
    uint16_t presence_told;     /* partitions that have answered store_presence since then */
    bool is_ready;
    bool is_coming;   /* its slots were elsewhere until now, and nothing has failed here: what is
                       * asked   waits (redis_repeats.h). Set by the owner */
    bool is_denied;   /* scripts would break off in their middle: none is sent */
    bool is_loading;  /* SCRIPT LOAD is under way */
    bool was_replica; /* what answered before was one: the owner clears it */
    struct timer clock_timer; /* the next TIME */
    int64_t clock_asked_ms;   /* the one that was asked last */
    char sha[SCRIPTS][SHA_HEX_LEN + 1];
    struct redis_repeats *repeats;   /* of the lane */
    struct redis_replicas *replicas; /* of the shard */
    struct redis_alerts *alerts;     /* of the lane */
    void *owner;
    void (*on_loaded)(void *owner); /* connected, and the scripts are loaded */
    void (*on_ready)(void *owner);
    void (*on_down)(void *owner, bool was_ready); /* each failed attempt, too */
    struct redis_batch gathered;                  /* pushes that are not sent yet: redis_push.h */
    uint16_t gathered_slot;                       /* of all of them */
    struct store_request *refused;                /* to be answered at the turn's end */
    struct store_request **refused_last;
    struct reactor_task refuse_task;
};

/* Where an answer goes. */
struct redis_call {
    redis_reply_fn on_reply; /* its owner is `commands` */
    void *arg;
    size_t index;
    bool with_text; /* a script's text instead of its name */
};

/* Which commands a user's requests go to, and his slot (0 without a Cluster). */
struct redis_route {
    void *owner;
    struct redis_commands *(*of_user)(void *owner, struct span user_id, uint16_t *ret_slot);
};

/* Callbacks, owner, primary, resolver, repeats and replicas are set by the caller before. */
MUST_CHECK enum err redis_commands_init(struct redis_commands *commands,
                                        struct redis_common *common, struct reactor *reactor);
/* Answers what is under way. */
void redis_commands_fini(struct redis_commands *commands);

/* Runs a script: n_keys keys, then its arguments. Errors: as redis_link_command. */
MUST_CHECK enum err redis_commands_eval(struct redis_commands *commands,
                                        const struct redis_call *call, enum redis_script script,
                                        const struct span *args, size_t n_args, size_t n_keys);

/* Another command than a script, as above. */
MUST_CHECK enum err redis_commands_send(struct redis_commands *commands,
                                        const struct redis_call *call, const struct span *args,
                                        size_t n_args);

/* Redis says NOSCRIPT: loads all scripts again, before whatever is sent from now on. */
void redis_commands_load_scripts(struct redis_commands *commands);

/* TIME is asked soon, and not with the minute. */
void redis_commands_ask_time(struct redis_commands *commands);

/* Tells the operator about an error, and what it means for the store. One of a replica breaks the
 * link as soon as it has answered all, so that the name is looked up again. One that says that a
 * slot is elsewhere corrects the map. */
void redis_commands_refused(struct redis_commands *commands, const char *error);

/* From here on no script is sent, or again: the store is down while one lane sends none. */
void redis_commands_deny(struct redis_commands *commands, bool is_denied);

/* The first trial was answered: on_ready. */
void redis_commands_become_ready(struct redis_commands *commands);

/* Calls on_done at the end of the turn, so that it never runs inside the call that asked. */
void redis_commands_refuse(struct redis_commands *commands, struct store_request *request);

#endif
