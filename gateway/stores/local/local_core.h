/* What the memory and file stores share, without thread and queue: a batch of requests is carried
 * out on the index, committed as one group, reported and answered. Driven by store_local.c; for one
 * thread at a time. Where the records are kept is the backing's business. */
#ifndef HERALD_STORE_LOCAL_CORE_H
#define HERALD_STORE_LOCAL_CORE_H

#include "gateway/store/store_config.h"
#include "gateway/stores/local/local_deferred.h"
#include "gateway/stores/local/local_state.h"

#include <pthread.h>

enum { STORE_RETRY_MS = 1000 };

struct local_core {
    struct local_state state;
    struct local_deferred deferred; /* while the records are awaited */
    int64_t let_go_ms;              /* when they were */
    bool has_forgotten;             /* the index was cleared since */
    struct store_events events;
    void *owner;
    bool is_held_down; /* by a simulation */
    bool is_reported_usable;
    bool is_ceiling_reported;
    int64_t tried_ms;  /* when the backing was last looked at */
    size_t n_appends;  /* that the last turn has answered */
    int64_t commit_us; /* how long that commit took */
    unsigned n_held;   /* reports and answers since wake-ups were made */
    pthread_mutex_t why_lock;
    char why[STORE_WHY_MAX_BYTES]; /* under why_lock; empty while all is well */
};

/* Takes over the backing and the filled index, also when it fails. */
MUST_CHECK enum err local_core_init(struct local_core *core, const struct store_config *config,
                                    struct store_clock clock, struct backing *backing,
                                    struct local_index index);
void local_core_fini(struct local_core *core);

/* Carries out requests, oldest first, until the list ends or the group is large enough, and answers
 * those; answers the rest of the list. NULL is fine: what is due by time is done all the same. */
MUST_CHECK struct store_request *local_core_turn(struct local_core *core,
                                                 struct store_request *requests);

/* How long the next turn may wait for more requests, in microseconds, after a turn that answered
 * this many appends with a commit of that duration: half as long as the commit, if they were
 * several. A commit costs the same for one push as for twenty. 0: the next request need not wait,
 * because no publishers come back together, or because the commit was short. */
int64_t local_core_gather_us(size_t n_appends, int64_t commit_us);

/* Has it work of its own to do as time passes? */
bool local_core_needs_time(const struct local_core *core);

void local_core_describe(struct local_core *core, char *out, size_t cap);

/* Reports that groups cannot be committed, or can again. */
void local_core_set_up(struct local_core *core, bool is_up, const char *why);

#endif
