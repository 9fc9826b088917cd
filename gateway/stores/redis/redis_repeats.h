/* Requests that Redis refused without doing anything, and that are sent again: MOVED, ASK,
 * TRYAGAIN, CLUSTERDOWN, LOADING, READONLY, MASTERDOWN, NOSCRIPT. A request whose link broke is
 * never sent again: Redis may have carried it out.
 *
 * A refused request waits in the queue of its slot, and what is asked of this slot later waits
 * behind it, so that nothing that was asked later is carried out earlier. One of a queue is under
 * way at a time. It is refused for good when the time of its kind has passed since it was first
 * sent, or after REDIS_REDIRECTS_MAX redirects in a row.
 *
 * On the lane's thread. Nothing is answered inside these calls, but by redis_repeats_stop. */
#ifndef HERALD_STORE_REDIS_REPEATS_H
#define HERALD_STORE_REDIS_REPEATS_H

#include "gateway/base/hash_table.h"
#include "gateway/stores/redis/redis_commands.h"

enum {
    REDIS_REPEAT_MS = 3000,          /* the time of a request of the store */
    REDIS_REPEAT_WAITING_MAX = 1000, /* of one slot, behind what was refused */
    REDIS_REDIRECTS_MAX = 5,
};

/* How one kind of request is sent and answered; `arg` and `index` say which request it is. */
struct redis_repeat_kind {
    uint16_t (*slot)(const struct redis_common *common, void *arg, size_t index);
    enum err (*send)(struct redis_commands *commands, void *arg, size_t index,
                     const struct redis_call *call);
    redis_reply_fn on_reply; /* an answer that is no such refusal; NULL: the link broke */
    void (*answer)(void *arg, size_t index, enum err error); /* there is none of Redis */
    int64_t life_ms; /* for so long it is repeated; at most REDIS_REPEAT_MS */
};

struct redis_repeats {
    const struct redis_common *common;
    struct reactor *reactor;
    /* Whom a slot belongs to, as far as is known; NULL: nobody. */
    void *owner;
    struct redis_commands *(*owner_of)(void *owner, uint16_t slot);
    /* `asked` answered MOVED or ASK: `error`. owner_of knows it from then on. Where an ASK sends
     * this one request, or NULL; that stays for REDIS_REPEAT_MS. NULL: redirects lead nowhere. */
    struct redis_commands *(*redirect)(void *owner, struct redis_commands *asked,
                                       const char *error);
    struct hash_table slots; /* the queues */
    struct list resting;     /* the same queues */
    struct list due;         /* those to be looked at, at the end of the turn */
    struct list given_up;    /* requests that fail, at the end of the turn */
    struct reactor_task task;
    bool is_stopped;
};

/* `common`, owner and the callbacks are set by the caller before. */
MUST_CHECK enum err redis_repeats_init(struct redis_repeats *repeats, struct reactor *reactor);
/* Answers what waits; what is under way the link answers. From now on nothing is repeated. */
void redis_repeats_stop(struct redis_repeats *repeats);
/* After redis_repeats_stop, and when no link is left. */
void redis_repeats_fini(struct redis_repeats *repeats);

/* An answer of Redis to a request that was sent for the first time. true: it is repeated, and what
 * becomes of it its kind is told. */
bool redis_repeats_take(struct redis_commands *commands, const struct redis_repeat_kind *kind,
                        void *arg, size_t index, const struct redis_value *reply);

/* Before a request is sent for the first time to the owner of its slot. true: it must not be sent
 * now. With ERR_OK it waits behind another of its slot, or for an owner whose links are coming up;
 * ERR_BUSY: too many do. ERR_NO_MEMORY. */
bool redis_repeats_hold_queued(struct redis_commands *commands,
                               const struct redis_repeat_kind *kind, void *arg, size_t index,
                               enum err *ret_error);

static inline bool redis_repeats_hold(struct redis_commands *commands,
                                      const struct redis_repeat_kind *kind, void *arg, size_t index,
                                      enum err *ret_error)
{
    return (commands->repeats->slots.n_links > 0 || commands->is_coming) &&
           redis_repeats_hold_queued(commands, kind, arg, index, ret_error);
}

/* A link is up, or a slot has another owner: what waits may be sent. */
void redis_repeats_wake(struct redis_repeats *repeats);

#endif
