/* The queue of a slot has two lists: what was refused, in the order of the refusals, and what was
 * asked behind that and never sent. The first of them is sent; its answer either goes to whoever
 * asked, and the next is sent, or it is another refusal, and the queue pauses. A queue that has
 * become empty is freed, and requests of its slot are sent at once again.
 *
 * A queue is looked at when its timer is due (the end of a pause, a deadline), when a link comes
 * up, and after each answer. Requests that are given up are answered by a task at the end of the
 * turn, so nobody is called back while a queue is worked on. */
#include "gateway/stores/redis/redis_repeats.h"

#include "gateway/base/metrics.h"
#include "gateway/stores/redis/redis_answer.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/random.h>

/* What an error is called that says that nothing was done. */
struct redis_refusal {
    const char *word;
    enum metric metric;
    bool is_counted;
    bool is_redirect; /* no pause: the request goes where Redis says */
    bool is_script;   /* no pause at first: the scripts are loaded again */
    bool is_told;     /* the operator hears of it at once, else when it was in vain */
    int64_t min_ms;   /* of a pause, which doubles */
    int64_t max_ms;
};

static const struct redis_refusal refusals[] = {
    {"MOVED", METRIC_REDIRECTS_MOVED, .is_counted = true, .is_redirect = true},
    {"ASK", METRIC_REDIRECTS_ASK, .is_counted = true, .is_redirect = true},
    {"TRYAGAIN", METRIC_REDIRECTS_TRYAGAIN, .is_counted = true, .min_ms = 5, .max_ms = 100},
    {"CLUSTERDOWN", METRIC_REDIRECTS_CLUSTERDOWN, .is_counted = true, .is_told = true, .min_ms = 50,
     .max_ms = 500},
    {"READONLY", METRIC_REDIRECTS_READONLY, .is_counted = true, .is_told = true, .min_ms = 50,
     .max_ms = 500},
    {"MASTERDOWN", METRIC_REDIRECTS_READONLY, .is_counted = true, .is_told = true, .min_ms = 50,
     .max_ms = 500},
    {.word = "LOADING", .is_told = true, .min_ms = 50, .max_ms = 500},
    {.word = "NOSCRIPT", .is_script = true, .min_ms = 50, .max_ms = 500},
};

struct redis_repeat {
    struct list link;
    const struct redis_repeat_kind *kind;
    void *arg;
    size_t index;
    struct redis_repeat_queue *queue;
    const struct redis_refusal *refusal; /* the latest; NULL: it was never sent */
    struct redis_commands *asking;       /* where ASK sends it, once; or NULL */
    int64_t deadline_ms;
    int64_t due_ms;   /* the end of its pause */
    int64_t pause_ms; /* the next one with this refusal; 0: there was none */
    unsigned n_redirects;
    enum err error;
};

struct redis_repeat_queue {
    struct hash_link in_slots;
    struct list link; /* in resting or due */
    struct redis_repeats *repeats;
    struct list refused;
    struct list waiting;
    unsigned n_waiting;
    bool is_busy; /* one is under way */
    struct timer timer;
    uint16_t slot;
};

/* --- queues --- */

static uint64_t hash_slot(uint16_t slot)
{
    return slot;
}

static uint64_t queue_hash(const struct hash_link *link)
{
    return hash_slot(CONTAINER_OF(link, struct redis_repeat_queue, in_slots)->slot);
}

static struct redis_repeat_queue *find_queue(struct redis_repeats *repeats, uint16_t slot)
{
    size_t bucket = hash_table_bucket(&repeats->slots, hash_slot(slot));
    HASH_TABLE_FOR_EACH_IN(link, &repeats->slots, bucket)
    {
        struct redis_repeat_queue *queue = CONTAINER_OF(link, struct redis_repeat_queue, in_slots);
        if (queue->slot == slot)
            return queue;
    }
    return NULL;
}

/* To be looked at, at the end of the turn. */
static void mark_due(struct redis_repeat_queue *queue)
{
    list_remove(&queue->link);
    list_append(&queue->repeats->due, &queue->link);
    reactor_at_turn_end(queue->repeats->reactor, &queue->repeats->task);
}

static void on_queue_due(struct timer *timer)
{
    mark_due(CONTAINER_OF(timer, struct redis_repeat_queue, timer));
}

static struct redis_repeat_queue *new_queue(struct redis_repeats *repeats, uint16_t slot)
{
    struct redis_repeat_queue *queue = calloc(1, sizeof *queue);
    if (queue == NULL)
        return NULL;
    queue->repeats = repeats;
    queue->slot = slot;
    list_init(&queue->refused);
    list_init(&queue->waiting);
    list_init(&queue->link);
    timer_init(&queue->timer, on_queue_due);
    list_append(&repeats->resting, &queue->link);
    hash_table_add(&repeats->slots, &queue->in_slots);
    return queue;
}

/* Not inside its timer's callback. */
static void free_queue(struct redis_repeat_queue *queue)
{
    timer_cancel(reactor_timers(queue->repeats->reactor), &queue->timer);
    hash_table_remove(&queue->repeats->slots, &queue->in_slots);
    list_remove(&queue->link);
    free(queue);
}

static struct redis_repeat *new_repeat(const struct redis_repeat_kind *kind, void *arg,
                                       size_t index, int64_t since_ms)
{
    struct redis_repeat *repeat = calloc(1, sizeof *repeat);
    if (repeat == NULL)
        return NULL;
    list_init(&repeat->link);
    repeat->kind = kind;
    repeat->arg = arg;
    repeat->index = index;
    repeat->deadline_ms = since_ms + kind->life_ms;
    return repeat;
}

static struct redis_repeat *first_repeat(struct redis_repeat_queue *queue)
{
    struct list *from = list_is_empty(&queue->refused) ? &queue->waiting : &queue->refused;
    return list_is_empty(from) ? NULL : CONTAINER_OF(from->next, struct redis_repeat, link);
}

static void unlink_repeat(struct redis_repeat *repeat)
{
    if (repeat->refusal == NULL)
        repeat->queue->n_waiting--;
    list_remove(&repeat->link);
}

/* --- in vain --- */

/* It is in no list. Its caller is answered at the end of the turn. */
static void give_up(struct redis_repeats *repeats, struct redis_repeat *repeat, enum err error)
{
    repeat->error = redis_answer_error(error);
    list_append(&repeats->given_up, &repeat->link);
    reactor_at_turn_end(repeats->reactor, &repeats->task);
}

static void expire_late(struct redis_repeat_queue *queue, struct list *list, int64_t now_ms)
{
    LIST_FOR_EACH_SAFE(link, list)
    {
        struct redis_repeat *repeat = CONTAINER_OF(link, struct redis_repeat, link);
        if (repeat->deadline_ms > now_ms)
            continue;
        unlink_repeat(repeat);
        give_up(queue->repeats, repeat, ERR_STORE_UNAVAILABLE);
    }
}

static void fail_given_up(struct redis_repeats *repeats)
{
    while (!list_is_empty(&repeats->given_up)) {
        struct redis_repeat *repeat =
            CONTAINER_OF(repeats->given_up.next, struct redis_repeat, link);
        const struct redis_repeat failed = *repeat;
        list_remove(&repeat->link);
        free(repeat);
        failed.kind->answer(failed.arg, failed.index, failed.error);
    }
}

/* --- sending --- */

static void on_repeat_reply(void *owner, void *arg, size_t index, const struct redis_value *reply);

static struct redis_commands *whom_to_send(struct redis_repeats *repeats,
                                           const struct redis_repeat *repeat)
{
    struct redis_commands *commands = repeat->asking != NULL
                                          ? repeat->asking
                                          : repeats->owner_of(repeats->owner, repeat->queue->slot);
    bool is_up = commands != NULL && commands->is_ready && redis_link_is_up(commands->link);
    return is_up ? commands : NULL;
}

/* Of ASKING: the request behind it tells whether it was of use. */
static void ignore_reply(void *owner, void *arg, size_t index, const struct redis_value *reply)
{
    (void)owner;
    (void)arg;
    (void)index;
    (void)reply;
}

static enum err send_repeat(struct redis_commands *commands, struct redis_repeat *repeat)
{
    struct redis_call call = {.on_reply = on_repeat_reply, .arg = repeat};
    struct span asking[] = {SPAN_LITERAL("ASKING")};
    struct redis_call unheard = {.on_reply = ignore_reply};
    enum err error = ERR_OK;
    if (repeat->asking != NULL)
        error = redis_commands_send(commands, &unheard, asking, 1);
    if (error == ERR_OK)
        error = repeat->kind->send(commands, repeat->arg, repeat->index, &call);
    return error;
}

/* Those before it that cannot be sent are given up. */
static void send_first(struct redis_repeat_queue *queue, int64_t now_ms)
{
    struct redis_repeat *repeat;
    while (!queue->is_busy && (repeat = first_repeat(queue)) != NULL && repeat->due_ms <= now_ms) {
        struct redis_commands *commands = whom_to_send(queue->repeats, repeat);
        if (commands == NULL)
            return; /* redis_repeats_wake, or its deadline */
        unlink_repeat(repeat);
        enum err error = send_repeat(commands, repeat);
        queue->is_busy = error == ERR_OK;
        if (error != ERR_OK)
            give_up(queue->repeats, repeat, error);
    }
}

/* When the queue is to be looked at again; INT64_MAX: when the one under way is answered. Deadlines
 * rise along a list, but for what two links have answered, and for kinds with another life: one
 * that is over earlier than those before it is answered with them, and not sent. */
static int64_t next_review_ms(const struct redis_repeat_queue *queue, int64_t now_ms)
{
    const struct list *lists[] = {&queue->refused, &queue->waiting};
    int64_t next_ms = INT64_MAX;
    for (size_t i = 0; i < 2; i++) {
        if (list_is_empty(lists[i]))
            continue;
        const struct redis_repeat *first = CONTAINER_OF(lists[i]->next, struct redis_repeat, link);
        if (first->deadline_ms < next_ms)
            next_ms = first->deadline_ms;
        if (!queue->is_busy && first->due_ms > now_ms && first->due_ms < next_ms)
            next_ms = first->due_ms;
    }
    return next_ms;
}

/* What is due is done. Frees the queue if nothing is left. */
static void review_queue(struct redis_repeat_queue *queue)
{
    struct timers *timers = reactor_timers(queue->repeats->reactor);
    int64_t now_ms = reactor_now_ms(queue->repeats->reactor);
    expire_late(queue, &queue->refused, now_ms);
    expire_late(queue, &queue->waiting, now_ms);
    send_first(queue, now_ms);
    int64_t next_ms = next_review_ms(queue, now_ms);
    if (next_ms != INT64_MAX)
        timer_set(timers, &queue->timer, next_ms);
    else if (queue->is_busy)
        timer_cancel(timers, &queue->timer);
    else
        free_queue(queue);
}

static void run_task(struct reactor_task *task)
{
    struct redis_repeats *repeats = CONTAINER_OF(task, struct redis_repeats, task);
    while (!list_is_empty(&repeats->due)) {
        struct redis_repeat_queue *queue =
            CONTAINER_OF(repeats->due.next, struct redis_repeat_queue, link);
        list_remove(&queue->link);
        list_append(&repeats->resting, &queue->link);
        review_queue(queue);
    }
    fail_given_up(repeats);
}

/* --- refusals --- */

/* NULL: the answer is none. */
static const struct redis_refusal *refusal_of(const struct redis_value *reply)
{
    if (!redis_value_is(reply, REDIS_ERROR))
        return NULL;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        size_t len = strlen(refusals[i].word);
        if (redis_value_starts(reply, refusals[i].word) &&
            (reply->n == len || reply->bytes[len] == ' '))
            return &refusals[i];
    }
    return NULL;
}

/* The next pause with this refusal; it doubles. Half of it is random, so that slots and nodes do
 * not knock all at once. */
static int64_t draw_pause_ms(struct redis_repeat *repeat)
{
    const struct redis_refusal *refusal = repeat->refusal;
    int64_t pause_ms = repeat->pause_ms == 0 ? refusal->min_ms : repeat->pause_ms;
    repeat->pause_ms = pause_ms * 2 < refusal->max_ms ? pause_ms * 2 : refusal->max_ms;
    uint32_t random = 0;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) != (ssize_t)sizeof random)
        random = 0;
    return pause_ms / 2 + (int64_t)(random % (uint32_t)(pause_ms / 2 + 1));
}

/* Takes note of it. false: that was one too many. */
static bool note_refusal(struct redis_commands *commands, struct redis_repeat *repeat,
                         const struct redis_refusal *refusal, const char *error)
{
    struct redis_repeats *repeats = commands->repeats;
    bool is_another = repeat->refusal != refusal;
    if (is_another)
        repeat->pause_ms = 0;
    repeat->refusal = refusal;
    repeat->asking = NULL;
    repeat->n_redirects = refusal->is_redirect ? repeat->n_redirects + 1 : 0;
    if (refusal->is_counted)
        metrics_count(refusal->metric);
    if (refusal->is_told)
        redis_commands_refused(commands, error);
    if (repeat->n_redirects > REDIS_REDIRECTS_MAX)
        return false;
    if (refusal->is_redirect && repeats->redirect != NULL)
        repeat->asking = repeats->redirect(repeats->owner, commands, error);
    if (refusal->is_script)
        redis_commands_load_scripts(commands);
    bool is_at_once = refusal->is_redirect || (refusal->is_script && is_another);
    repeat->due_ms = reactor_now_ms(repeats->reactor) + (is_at_once ? 0 : draw_pause_ms(repeat));
    return true;
}

/* It waits in front of `before`, in the list of what was refused. */
static void take_refusal(struct redis_commands *commands, struct redis_repeat *repeat,
                         const struct redis_refusal *refusal, const struct redis_value *reply,
                         struct list *before)
{
    if (note_refusal(commands, repeat, refusal, reply->bytes)) {
        list_append(before, &repeat->link);
        return;
    }
    redis_answer_refused(commands, reply);
    give_up(commands->repeats, repeat, ERR_STORE_UNAVAILABLE);
}

static void finish_repeat(struct redis_commands *commands, struct redis_repeat *repeat,
                          const struct redis_value *reply)
{
    const struct redis_repeat finished = *repeat;
    free(repeat);
    finished.kind->on_reply(commands, finished.arg, finished.index, reply);
}

static void on_repeat_reply(void *owner, void *arg, size_t index, const struct redis_value *reply)
{
    (void)index;
    struct redis_commands *commands = owner;
    struct redis_repeat *repeat = arg;
    struct redis_repeat_queue *queue = repeat->queue;
    const struct redis_refusal *refusal = refusal_of(reply);
    if (refusal == NULL)
        finish_repeat(commands, repeat, reply); /* meanwhile the queue is busy, and stays */
    else
        take_refusal(commands, repeat, refusal, reply, queue->refused.next);
    queue->is_busy = false;
    review_queue(queue);
}

bool redis_repeats_take(struct redis_commands *commands, const struct redis_repeat_kind *kind,
                        void *arg, size_t index, const struct redis_value *reply)
{
    struct redis_repeats *repeats = commands->repeats;
    const struct redis_refusal *refusal = refusal_of(reply);
    if (refusal == NULL || repeats->is_stopped)
        return false;
    struct redis_repeat *repeat = new_repeat(kind, arg, index, redis_link_asked_ms(commands->link));
    if (repeat == NULL)
        return false;
    uint16_t slot = kind->slot(repeats->common, arg, index);
    repeat->queue = find_queue(repeats, slot);
    if (repeat->queue == NULL)
        repeat->queue = new_queue(repeats, slot);
    struct redis_repeat_queue *queue = repeat->queue;
    if (queue == NULL) {
        free(repeat);
        return false;
    }
    take_refusal(commands, repeat, refusal, reply, &queue->refused);
    review_queue(queue);
    return true;
}

static struct redis_repeat_queue *queue_to_wait_in(struct redis_commands *commands, uint16_t slot)
{
    struct redis_repeat_queue *queue = find_queue(commands->repeats, slot);
    return queue == NULL && commands->is_coming ? new_queue(commands->repeats, slot) : queue;
}

bool redis_repeats_hold_queued(struct redis_commands *commands,
                               const struct redis_repeat_kind *kind, void *arg, size_t index,
                               enum err *ret_error)
{
    struct redis_repeats *repeats = commands->repeats;
    struct redis_repeat_queue *queue =
        repeats->is_stopped ? NULL
                            : queue_to_wait_in(commands, kind->slot(repeats->common, arg, index));
    if (queue == NULL)
        return false;
    *ret_error = ERR_BUSY;
    if (queue->n_waiting >= REDIS_REPEAT_WAITING_MAX)
        return true;
    int64_t now_ms = reactor_now_ms(repeats->reactor);
    struct redis_repeat *repeat = new_repeat(kind, arg, index, now_ms);
    *ret_error = ERR_NO_MEMORY;
    if (repeat == NULL) {
        mark_due(queue); /* it goes if it is empty */
        return true;
    }
    *ret_error = ERR_OK;
    repeat->queue = queue;
    list_append(&queue->waiting, &repeat->link);
    queue->n_waiting++;
    if (!timer_is_set(&queue->timer))
        timer_set(reactor_timers(repeats->reactor), &queue->timer, repeat->deadline_ms);
    return true;
}

void redis_repeats_wake(struct redis_repeats *repeats)
{
    list_move_all(&repeats->due, &repeats->resting);
    reactor_at_turn_end(repeats->reactor, &repeats->task);
}

/* --- made and freed --- */

enum err redis_repeats_init(struct redis_repeats *repeats, struct reactor *reactor)
{
    repeats->reactor = reactor;
    list_init(&repeats->resting);
    list_init(&repeats->due);
    list_init(&repeats->given_up);
    list_init(&repeats->task.link);
    repeats->task.run = run_task;
    repeats->is_stopped = false;
    return hash_table_init(&repeats->slots, queue_hash);
}

void redis_repeats_stop(struct redis_repeats *repeats)
{
    repeats->is_stopped = true;
    list_move_all(&repeats->due, &repeats->resting);
    LIST_FOR_EACH_SAFE(link, &repeats->due)
    {
        struct redis_repeat_queue *queue = CONTAINER_OF(link, struct redis_repeat_queue, link);
        expire_late(queue, &queue->refused, INT64_MAX);
        expire_late(queue, &queue->waiting, INT64_MAX);
    }
    run_task(&repeats->task);
}

void redis_repeats_fini(struct redis_repeats *repeats)
{
    assert(repeats->slots.n_links == 0 && list_is_empty(&repeats->given_up));
    reactor_task_cancel(&repeats->task);
    hash_table_fini(&repeats->slots);
}
