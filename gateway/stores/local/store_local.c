/* Callers append their requests to a list under a lock, and wake the thread if it sleeps. The
 * thread takes the whole list as one batch and runs turns (local_core.c) until all of it is
 * answered. It sleeps without a timeout only while nothing is due by time.
 *
 * While requests come faster than they are committed, each turn takes what has come during the last
 * commit, so groups grow with the load. After a turn with several appends the thread also waits
 * half as long as their commit took, without being woken, before it takes the next; a request that
 * comes later than that is carried out at once.
 *
 * Closing lets the thread finish what was submitted, so every request is answered. A simulation has
 * no thread: it runs the same turns by hand, on a clock of its own.
 */
#include "gateway/stores/local/store_local.h"

#include "gateway/base/clock.h"
#include "gateway/stores/local/local_apply.h"

#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

enum { WAIT_S = 1 };

struct store_local {
    struct store store; /* first: it is handed out */
    struct local_core core;
    struct store_ops ops;
    bool is_threaded;
    pthread_t thread;
    int64_t turned_us; /* the thread's: when its last turn ended */

    pthread_mutex_t lock; /* of what follows; never held while a request is carried out */
    pthread_cond_t wake;
    struct store_request *first;
    struct store_request *last;
    bool is_asleep; /* between two turns: all is committed, reported and answered */
    bool is_closing;
};

static struct store_local *local_of(struct store *store)
{
    return (struct store_local *)(void *)store;
}

/* ---- the queue ---- */

/* Marks the requests of a chain; answers the last of them. */
static struct store_request *mark_chain(struct store_request *first, enum store_op op)
{
    struct store_request *last = first;
    for (struct store_request *request = first; request != NULL; request = request->next) {
        request->op = (int)op;
        last = request;
    }
    return last;
}

/* The thread is woken once a batch: by the caller that finds it asleep. */
static void local_submit(struct store *store, struct store_request *first, enum store_op op)
{
    struct store_local *local = local_of(store);
    struct store_request *last = mark_chain(first, op);
    pthread_mutex_lock(&local->lock);
    if (local->first == NULL)
        local->first = first;
    else
        local->last->next = first;
    local->last = last;
    bool must_wake = local->is_asleep;
    local->is_asleep = false;
    pthread_mutex_unlock(&local->lock);
    if (must_wake)
        pthread_cond_signal(&local->wake);
}

static struct store_request *take_all(struct store_local *local)
{
    struct store_request *batch = local->first;
    local->first = NULL;
    local->last = NULL;
    return batch;
}

/* After a commit: sleeps until the next turn may begin, if a request has come before that. */
static void gather_requests(struct store_local *local)
{
    const struct local_core *core = &local->core;
    int64_t until_us = local->turned_us + local_core_gather_us(core->n_appends, core->commit_us);
    int64_t now_us = clock_monotonic_us();
    if (until_us <= now_us)
        return;
    struct timespec rest = {0, (long)(until_us - now_us) * 1000};
    nanosleep(&rest, NULL);
}

/* The kernel ends sleeps up to 50 us late, to gather its wake-ups; a commit takes some 400. */
static void sleep_exactly(void)
{
    enum { SLACK_NS = 1000 };
    (void)prctl(PR_SET_TIMERSLACK, (unsigned long)SLACK_NS, 0UL, 0UL, 0UL);
}

/* Waits for requests, or until something is due by time. false: closing, and nothing waits. */
static bool wait_for_batch(struct store_local *local, struct store_request **ret_batch)
{
    struct timespec until;
    bool needs_time = local_core_needs_time(&local->core);
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += WAIT_S;
    pthread_mutex_lock(&local->lock);
    int got = 0;
    while (local->first == NULL && !local->is_closing && got == 0) {
        local->is_asleep = true;
        got = needs_time ? pthread_cond_timedwait(&local->wake, &local->lock, &until)
                         : pthread_cond_wait(&local->wake, &local->lock);
    }
    local->is_asleep = false;
    if (local->first != NULL && !local->is_closing) {
        pthread_mutex_unlock(&local->lock);
        gather_requests(local);
        pthread_mutex_lock(&local->lock);
    }
    *ret_batch = take_all(local);
    bool is_over = local->is_closing && *ret_batch == NULL;
    pthread_mutex_unlock(&local->lock);
    return !is_over;
}

static void run_batch(struct store_local *local, struct store_request *batch)
{
    do {
        batch = local_core_turn(&local->core, batch);
    } while (batch != NULL);
}

static void *run_store(void *arg)
{
    struct store_local *local = arg;
    struct store_request *batch;
    sleep_exactly();
    while (wait_for_batch(local, &batch)) {
        run_batch(local, batch);
        local->turned_us = clock_monotonic_us();
    }
    return NULL;
}

size_t store_local_turn(struct store *store)
{
    struct store_local *local = local_of(store);
    size_t n_batches = 0;
    bool has_more;
    do {
        pthread_mutex_lock(&local->lock);
        struct store_request *batch = take_all(local);
        local->is_asleep = false;
        pthread_mutex_unlock(&local->lock);
        has_more = batch != NULL;
        n_batches += has_more;
        run_batch(local, batch);
    } while (has_more);
    pthread_mutex_lock(&local->lock);
    local->is_asleep = local->first == NULL;
    pthread_mutex_unlock(&local->lock);
    return n_batches;
}

void store_local_set_full(struct store *store, bool is_full)
{
    struct local_core *core = &local_of(store)->core;
    core->is_held_down = is_full;
    if (is_full)
        local_core_set_up(core, false, "a simulation says that the disk is full");
}

/* ---- the rest of what store.c calls ---- */

/* The thread that sleeps cannot go on while the lock is held. */
static bool answer_page_at_once(struct store *store, struct store_page *page)
{
    struct store_local *local = local_of(store);
    pthread_mutex_lock(&local->lock);
    bool is_answered = local->is_asleep && local_page_at_once(&local->core.state, page);
    pthread_mutex_unlock(&local->lock);
    return is_answered;
}

/* on_inbox_event is called for every user, present or not: there is nothing to leave. */
static void local_leave(struct store *store, unsigned lane, struct span user_id)
{
    (void)store;
    (void)lane;
    (void)user_id;
}

struct local_broadcast {
    struct store_question question;
    struct store_broadcast *broadcast;
};

static void on_broadcast_answer(struct store_question *question)
{
    struct local_broadcast *offered = CONTAINER_OF(question, struct local_broadcast, question);
    struct store_broadcast *broadcast = offered->broadcast;
    broadcast->online = question->count;
    broadcast->nodes = 1;
    free(offered);
    broadcast->request.on_done(&broadcast->request);
}

/* Past the queue: what is kept nowhere does not wait for a disk. */
static void local_broadcast(struct store *store, struct store_broadcast *broadcast)
{
    const struct local_core *core = &local_of(store)->core;
    struct local_broadcast *offered = calloc(1, sizeof *offered);
    enum err error = ERR_NO_MEMORY;
    if (offered != NULL) {
        offered->broadcast = broadcast;
        offered->question.on_answer = on_broadcast_answer;
        error = store_offer_broadcast(&core->events, core->owner, broadcast->payload,
                                      local_now_ms(&core->state), &offered->question);
    }
    if (error == ERR_OK)
        return;
    free(offered);
    broadcast->error = error;
    broadcast->request.on_done(&broadcast->request);
}

struct local_ask {
    struct store_user_question asked;
    struct store_ask *ask;
};

static void on_ask_answer(struct store_question *question)
{
    struct local_ask *offered = CONTAINER_OF(question, struct local_ask, asked.question);
    struct store_ask *ask = offered->ask;
    ask->count = question->count;
    ask->n_answered = 1;
    store_ask_add_text(ask, buf_span(&question->text));
    buf_fini(&question->text);
    free(offered);
    ask->request.on_done(&ask->request);
}

/* Past the queue, too: what was committed is reported already. */
static void local_ask(struct store *store, struct store_ask *ask)
{
    const struct local_core *core = &local_of(store)->core;
    struct local_ask *offered = calloc(1, sizeof *offered);
    ask->n_asked = 1;
    if (offered == NULL) {
        ask->error = ERR_NO_MEMORY;
        ask->request.on_done(&ask->request);
        return;
    }
    offered->ask = ask;
    offered->asked.question.on_answer = on_ask_answer;
    offered->asked.user_id = ask->user_id;
    offered->asked.asked = ask->asked;
    store_offer_question(&core->events, core->owner, &offered->asked);
}

static void local_describe(struct store *store, char *out, size_t cap)
{
    local_core_describe(&local_of(store)->core, out, cap);
}

static int64_t local_store_now_ms(const struct store *store)
{
    return local_now_ms(&((const struct store_local *)(const void *)store)->core.state);
}

static void local_close(struct store *store)
{
    struct store_local *local = local_of(store);
    if (local->is_threaded) {
        pthread_mutex_lock(&local->lock);
        local->is_closing = true;
        pthread_mutex_unlock(&local->lock);
        pthread_cond_signal(&local->wake);
        pthread_join(local->thread, NULL);
    } else {
        store_local_turn(store);
    }
    pthread_cond_destroy(&local->wake);
    pthread_mutex_destroy(&local->lock);
    local_core_fini(&local->core);
    free(local);
}

/* ---- opening ---- */

static int64_t wall_now_ms(void *unused)
{
    (void)unused;
    return clock_wall_ms();
}

static enum err init_queue(struct store_local *local)
{
    pthread_condattr_t attributes;
    if (pthread_mutex_init(&local->lock, NULL) != 0)
        return ERR_SYSTEM;
    if (pthread_condattr_init(&attributes) != 0)
        goto undo_lock;
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    int failed = pthread_cond_init(&local->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    if (failed == 0)
        return ERR_OK;
undo_lock:
    pthread_mutex_destroy(&local->lock);
    return ERR_SYSTEM;
}

static void fill_ops(struct store_local *local, const char *kind)
{
    local->ops = (struct store_ops){
        .kind = kind,
        .close = local_close,
        .submit = local_submit,
        .page_at_once = answer_page_at_once,
        .broadcast = local_broadcast,
        .ask = local_ask,
        .leave = local_leave,
        .describe = local_describe,
        .now_ms = local_store_now_ms,
    };
    local->store.ops = &local->ops;
}

static enum err start_thread(struct store_local *local)
{
    local->is_threaded = true;
    if (pthread_create(&local->thread, NULL, run_store, local) != 0)
        return ERR_SYSTEM;
    pthread_setname_np(local->thread, "store");
    return ERR_OK;
}

enum err store_local_open(const struct store_config *config, const struct store_clock *clock,
                          struct backing *backing, struct local_index index,
                          struct store **ret_store)
{
    struct store_clock wall = {wall_now_ms, NULL};
    struct store_local *local = calloc(1, sizeof *local);
    if (local == NULL) {
        backing->ops->close(backing, &index);
        local_index_free(&index);
        return ERR_NO_MEMORY;
    }
    enum err error =
        local_core_init(&local->core, config, clock == NULL ? wall : *clock, backing, index);
    if (error != ERR_OK)
        goto undo_alloc;
    error = init_queue(local);
    if (error != ERR_OK)
        goto undo_core;
    fill_ops(local, backing->ops->kind);
    if (config->events.on_state != NULL)
        config->events.on_state(config->owner, true);
    error = clock == NULL ? start_thread(local) : ERR_OK;
    if (error != ERR_OK)
        goto undo_queue;
    *ret_store = &local->store;
    return ERR_OK;

undo_queue:
    pthread_cond_destroy(&local->wake);
    pthread_mutex_destroy(&local->lock);
undo_core:
    local_core_fini(&local->core);
undo_alloc:
    free(local);
    return error;
}
