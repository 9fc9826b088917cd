/* Callers append their requests to a queue (local_queue.c). The thread takes all of it as one batch
 * and runs turns (local_core.c) until all of it is answered. It sleeps without a timeout only while
 * nothing is due by time.
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
#include "gateway/stores/local/local_queue.h"
#include "gateway/stores/local/local_upgrade.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/prctl.h>

enum { WAIT_MS = 1000 };

struct store_local {
    struct store store; /* first: it is handed out */
    struct local_core core;
    struct store_ops ops;
    struct local_queue queue;
    struct local_call take_over;
    bool was_awaited;
    atomic_bool has_taken_over; /* it was asked to */
    bool is_threaded;
    pthread_t thread;
    int64_t turned_us; /* the thread's: when its last turn ended */
};

static struct store_local *local_of(struct store *store)
{
    return (struct store_local *)(void *)store;
}

/* ---- the thread ---- */

static void local_submit(struct store *store, struct store_request *first, enum store_op op)
{
    local_queue_submit(&local_of(store)->queue, first, op);
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

/* When the thread has work without being asked: each second, or when a request that waits for the
 * store has waited long enough. */
static struct timespec next_alarm(const struct store_local *local)
{
    const struct local_core *core = &local->core;
    struct timespec at;
    int64_t rest_ms = local_deferred_rest_ms(&core->deferred, local_now_ms(&core->state), WAIT_MS);
    clock_gettime(CLOCK_MONOTONIC, &at);
    int64_t ns = at.tv_nsec + rest_ms * 1000000;
    at.tv_sec += ns / 1000000000;
    at.tv_nsec = (long)(ns % 1000000000);
    return at;
}

/* Waits for work, or until something is due by time. false: closing, and nothing waits. */
static bool wait_for_work(struct store_local *local, struct local_work *ret_work)
{
    struct timespec at = next_alarm(local);
    if (local_queue_sleep(&local->queue, local_core_needs_time(&local->core) ? &at : NULL))
        gather_requests(local);
    return local_queue_take(&local->queue, ret_work);
}

static void run_batch(struct store_local *local, struct store_request *batch)
{
    do {
        batch = local_core_turn(&local->core, batch);
    } while (batch != NULL);
}

static void run_work(struct store_local *local, struct local_work work)
{
    run_batch(local, work.batch);
    while (work.calls != NULL) {
        struct local_call *call = work.calls;
        work.calls = call->next;
        call->run(local, call);
        local_queue_finish(&local->queue, call);
    }
    local_upgrade_forget(&local->core);
}

static void *run_store(void *arg)
{
    struct store_local *local = arg;
    struct local_work work;
    sleep_exactly();
    while (wait_for_work(local, &work)) {
        run_work(local, work);
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
        struct local_work work;
        (void)local_queue_take(&local->queue, &work);
        has_more = work.batch != NULL;
        n_batches += has_more;
        run_work(local, work);
    } while (has_more);
    local_queue_rest(&local->queue);
    return n_batches;
}

void store_local_set_full(struct store *store, bool is_full)
{
    struct local_core *core = &local_of(store)->core;
    core->is_held_down = is_full;
    if (is_full)
        local_core_set_up(core, false, "a simulation says that the disk is full");
}

const struct local_index *store_local_index(struct store *store)
{
    return &local_of(store)->core.state.index;
}

/* ---- the rest of what store.c calls ---- */

/* The thread that sleeps cannot go on while the lock is held. */
static bool answer_page_at_once(struct store *store, struct store_page *page)
{
    struct store_local *local = local_of(store);
    pthread_mutex_lock(&local->queue.lock);
    bool is_answered = local->queue.is_asleep && local_page_at_once(&local->core.state, page);
    pthread_mutex_unlock(&local->queue.lock);
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
        local_queue_close(&local->queue);
        pthread_join(local->thread, NULL);
    } else {
        store_local_turn(store);
    }
    run_batch(local,
              local_deferred_take(&local->core.deferred)); /* what they wait for never came */
    local_queue_fini(&local->queue);
    local_core_fini(&local->core);
    free(local);
}

/* ---- from one process to the next ---- */

/* Returns when it was run. */
static void run_call(struct store_local *local, struct local_call *call)
{
    local_queue_call(&local->queue, call);
    if (local->is_threaded)
        local_queue_wait_done(&local->queue, call);
    else
        store_local_turn(&local->store);
}

static bool upgrade_is_here(const struct store *store)
{
    const struct store_local *local = (const struct store_local *)(const void *)store;
    return !local->was_awaited || atomic_load(&local->has_taken_over);
}

static int upgrade_lock_fd(const struct store *store)
{
    const struct backing *backing =
        ((const struct store_local *)(const void *)store)->core.state.backing;
    return backing->ops->lock_fd(backing);
}

static void run_let_go(void *owner, struct local_call *call)
{
    (void)call;
    struct store_local *local = owner;
    run_batch(local, local_upgrade_let_go(&local->core));
}

static void upgrade_let_go(struct store *store)
{
    struct local_call call = {.run = run_let_go};
    run_call(local_of(store), &call);
}

/* While the index is built. */
static void breathe(void *breather)
{
    struct store_local *local = breather;
    run_batch(local, local_queue_take_requests(&local->queue));
}

static void run_take_over(void *owner, struct local_call *call)
{
    (void)call;
    struct store_local *local = owner;
    struct backing *backing = local->core.state.backing;
    if (local->core.state.tenure != LOCAL_AWAITED)
        return;
    backing->breathe = breathe;
    backing->breather = local;
    struct store_request *waited = local_upgrade_take_over(&local->core);
    backing->breathe = NULL;
    run_batch(local, waited);
}

static void upgrade_take_over(struct store *store)
{
    struct store_local *local = local_of(store);
    if (atomic_exchange(&local->has_taken_over, true))
        return;
    local->take_over.run = run_take_over;
    local_queue_call(&local->queue, &local->take_over);
    if (!local->is_threaded)
        store_local_turn(store);
}

struct ticket_call {
    struct local_call call;
    store_ticket_visit_fn *visit;
    void *owner;
    const struct store_ticket *tickets;
    size_t n_tickets;
    enum err error;
};

static void run_each_ticket(void *owner, struct local_call *call)
{
    const struct store_local *local = owner;
    const struct ticket_call *each = CONTAINER_OF(call, struct ticket_call, call);
    local_upgrade_each_ticket(&local->core, each->visit, each->owner);
}

static void upgrade_each_ticket(struct store *store, store_ticket_visit_fn *visit, void *owner)
{
    struct ticket_call each = {.call.run = run_each_ticket, .visit = visit, .owner = owner};
    run_call(local_of(store), &each.call);
}

static void run_adopt(void *owner, struct local_call *call)
{
    struct store_local *local = owner;
    struct ticket_call *adopt = CONTAINER_OF(call, struct ticket_call, call);
    adopt->error = local_upgrade_adopt(&local->core, adopt->tickets, adopt->n_tickets);
}

static enum err upgrade_adopt(struct store *store, const struct store_ticket *tickets,
                              size_t n_tickets)
{
    struct ticket_call adopt = {.call.run = run_adopt, .tickets = tickets, .n_tickets = n_tickets};
    run_call(local_of(store), &adopt.call);
    return adopt.error;
}

static const struct store_upgrade_ops upgrade_ops = {
    .is_here = upgrade_is_here,
    .lock_fd = upgrade_lock_fd,
    .let_go = upgrade_let_go,
    .take_over = upgrade_take_over,
    .each_ticket = upgrade_each_ticket,
    .adopt_tickets = upgrade_adopt,
};

/* ---- opening ---- */

static int64_t wall_now_ms(void *unused)
{
    (void)unused;
    return clock_wall_ms();
}

static void fill_ops(struct store_local *local, const struct backing_ops *ops)
{
    local->ops = (struct store_ops){
        .kind = ops->kind,
        .close = local_close,
        .submit = local_submit,
        .page_at_once = answer_page_at_once,
        .broadcast = local_broadcast,
        .ask = local_ask,
        .leave = local_leave,
        .describe = local_describe,
        .now_ms = local_store_now_ms,
        .upgrade = ops->let_go != NULL ? &upgrade_ops : NULL,
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
    error = local_queue_init(&local->queue);
    if (error != ERR_OK)
        goto undo_core;
    fill_ops(local, backing->ops);
    local->was_awaited = config->is_awaited;
    if (config->is_awaited)
        local_upgrade_await(&local->core);
    else if (config->events.on_state != NULL)
        config->events.on_state(config->owner, true);
    error = clock == NULL ? start_thread(local) : ERR_OK;
    if (error != ERR_OK)
        goto undo_queue;
    *ret_store = &local->store;
    return ERR_OK;

undo_queue:
    local_queue_fini(&local->queue);
undo_core:
    local_core_fini(&local->core);
undo_alloc:
    free(local);
    return error;
}
