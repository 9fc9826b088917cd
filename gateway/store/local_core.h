/* What the memory and file stores share, without thread and queue: a batch of requests is carried
 * out on the index, committed as one group, told of and answered. Driven by store_local.c; for one
 * thread at a time. Where the records are kept is the backing's business. */
#ifndef HERALD_STORE_LOCAL_CORE_H
#define HERALD_STORE_LOCAL_CORE_H

#include "gateway/store/group.h"
#include "gateway/store/store.h"

#include <pthread.h>

enum { STORE_RETRY_MS = 1000, STORE_FORGET_DAYS = 30, STORE_WHY_MAX_BYTES = 320 };

/* The wall clock, or a simulation's. */
struct store_clock {
    int64_t (*now_ms)(void *owner);
    void *owner;
};

struct backing;

struct backing_ops {
    const char *kind;
    /* The key under which this notification will be kept, and (file) that of a payload that several
     * share: 0 if the backing shares by reference. */
    uint64_t (*note_key)(struct backing *backing, struct notification *note);
    uint64_t (*payload_key)(struct backing *backing);
    bool (*has_room)(const struct backing *backing, uint64_t more_bytes);
    /* A notification of the index, committed or put by this group. The caller unrefs it. */
    enum err (*read)(struct backing *backing, const struct group *group, const struct inbox *inbox,
                     const struct inbox_entry *entry, struct notification **ret_note);
    /* Lets go of what reads hold; a commit does it as well. NULL: they hold nothing. */
    void (*end_turn)(struct backing *backing);
    /* All of the group or nothing; `why` says what failed. Sets record_key of the users it wrote.
     */
    enum err (*commit)(struct backing *backing, struct group *group, char *why);
    /* After a failed commit: fills the empty table with what is really kept. */
    enum err (*rebuild)(struct backing *backing, struct inbox_table *table, char *why);
    /* Could a group be committed now? */
    enum err (*probe)(struct backing *backing, char *why);
    void (*close)(struct backing *backing, struct inbox_table *table);
};

/* First member of each backing's own struct. `why` is STORE_WHY_MAX_BYTES long everywhere. */
struct backing {
    const struct backing_ops *ops;
};

struct local_core {
    struct backing *backing;
    uint32_t inbox_max;
    uint64_t inbox_max_bytes;
    struct store_events events;
    void *owner;
    struct store_clock clock;
    struct inbox_table *table;
    struct group group;
    bool is_up;        /* groups can be committed */
    bool is_readable;  /* the index is that of what is kept */
    bool is_held_down; /* by a simulation */
    int64_t tried_ms;  /* down: when it was last tried */
    int64_t swept_ms;  /* when the last slice was swept */
    pthread_mutex_t why_lock;
    char why[STORE_WHY_MAX_BYTES]; /* under why_lock; empty while all is well */
};

/* The kinds of store_request.op. */
enum local_op { LOCAL_APPEND, LOCAL_PAGE, LOCAL_ACK, LOCAL_PEEK };

/* Takes over the backing and the filled table, also when it fails. */
MUST_CHECK enum err local_core_init(struct local_core *core, const struct store_config *config,
                                    struct store_clock clock, struct backing *backing,
                                    struct inbox_table *table);
void local_core_fini(struct local_core *core);

/* Carries out requests, oldest first, until the list ends or the group is large enough, and answers
 * those; answers the rest of the list. NULL is fine: what is due by time is done all the same. */
MUST_CHECK struct store_request *local_core_turn(struct local_core *core,
                                                 struct store_request *requests);

/* Has it work of its own to do as time passes? */
bool local_core_needs_time(const struct local_core *core);

void local_core_describe(struct local_core *core, char *out, size_t cap);

/* Tells that groups cannot be committed, or can again. */
void local_core_set_up(struct local_core *core, bool is_up, const char *why);

static inline int64_t local_core_now_ms(const struct local_core *core)
{
    return core->clock.now_ms(core->clock.owner);
}

#endif
