/* Each partition looks by itself, on its worker: it asks store_serve, and the answer says whether
 * the lease is this node's, and how many nodes there are. A node wants the lease of a partition
 * while it has fewer than its share. Where many are free at once, as after a death, the node that
 * looks first takes all of them, and gives back what is more than its share. A lease counts from
 * the moment at which it was asked for. */
#include "gateway/events/serving.h"

#include "gateway/base/clock.h"
#include "gateway/base/metrics.h"
#include "gateway/events/presence.h"
#include "gateway/node/worker.h"

#include <stdlib.h>
#include <unistd.h>

enum {
    LOOK_MS = 2000,
    LOOK_LOCAL_MS = 1000,
    AGAIN_MS = 1000,     /* after a failure */
    GIVE_BACK_MS = 2000, /* from one surplus partition to the next */
    WAIT_US = 1000,
};

enum serving_state {
    SERVING_RESTS, /* not started */
    SERVING_RUNS,
    SERVING_LEAVES, /* it gives its leases back */
    SERVING_ENDED,
};

struct serving_partition {
    struct serving *serving;
    unsigned number;
    struct letter letter; /* to its worker: look at it */
    atomic_bool is_posted;
    atomic_bool must_ask;
    atomic_int_fast64_t mine_until_ms; /* monotonic; 0: it is not mine */
    atomic_bool has_left;

    /* its worker */
    struct timer timer;
    struct store_serve asked;
    bool is_asking;
    bool has_failed;
    bool is_mine;
    atomic_bool is_answered;
    unsigned asked_in; /* serving->epoch then */
    unsigned n_nodes;
    int64_t asked_ms; /* monotonic */
    int64_t due_ms;   /* the same: when an alert is due; 0: none is known of */
    uint32_t skip_alerts;
};

struct serving {
    struct events *events;
    struct serving_listener *listeners;
    atomic_int state;
    atomic_uint n_held;                /* partitions that are mine */
    atomic_int_fast64_t gives_back_ms; /* monotonic: when the next surplus one goes */
    int64_t judges_from_ms;            /* monotonic */
    unsigned epoch;                    /* rises with serving_let_go */
    struct serving_partition partitions[STORE_PARTITIONS];
};

static struct worker *worker_of(const struct serving_partition *partition)
{
    const struct node *node = partition->serving->events->node;
    return node->workers[store_partition_lane(partition->number, node->n_workers)];
}

static enum serving_state serving_state(const struct serving *serving)
{
    return (enum serving_state)atomic_load(&serving->state);
}

static void partition_turn(struct letter *letter);

static void poke_partition(struct serving_partition *partition)
{
    if (!atomic_exchange(&partition->is_posted, true))
        worker_post(worker_of(partition), &partition->letter, partition_turn);
}

/* ---- the share ---- */

static unsigned share_of(const struct serving_partition *partition)
{
    unsigned n_nodes = partition->n_nodes > 0 ? partition->n_nodes : 1;
    return (STORE_PARTITIONS + n_nodes - 1) / n_nodes;
}

/* This node has more than its share, and none has gone in the last two seconds. */
static bool must_give_back(struct serving_partition *partition, int64_t now_ms)
{
    struct serving *serving = partition->serving;
    int64_t at_ms = atomic_load(&serving->gives_back_ms);
    return partition->is_mine && atomic_load(&serving->n_held) > share_of(partition) &&
           now_ms >= at_ms &&
           atomic_compare_exchange_strong(&serving->gives_back_ms, &at_ms, now_ms + GIVE_BACK_MS);
}

/* ---- mine, or not ---- */

static void gain_partition(struct serving_partition *partition)
{
    partition->is_mine = true;
    atomic_fetch_add(&partition->serving->n_held, 1);
    metrics_gauge_add(METRIC_EVENTS_SERVED, 1);
    for (struct serving_listener *listener = partition->serving->listeners; listener != NULL;
         listener = listener->next) {
        if (listener->on_gained != NULL)
            listener->on_gained(listener, partition->number);
    }
}

static void lose_partition(struct serving_partition *partition)
{
    atomic_store(&partition->mine_until_ms, 0);
    partition->due_ms = 0;
    partition->skip_alerts = 0;
    if (!partition->is_mine)
        return;
    partition->is_mine = false;
    atomic_fetch_sub(&partition->serving->n_held, 1);
    metrics_gauge_add(METRIC_EVENTS_SERVED, -1);
    for (struct serving_listener *listener = partition->serving->listeners; listener != NULL;
         listener = listener->next) {
        if (listener->on_lost != NULL)
            listener->on_lost(listener, partition->number);
    }
}

bool serving_is_mine(const struct serving *serving, unsigned partition)
{
    return clock_monotonic_ms() < atomic_load(&serving->partitions[partition].mine_until_ms);
}

/* ---- a look ---- */

static void on_answered(struct store_request *request)
{
    struct serving_partition *partition =
        CONTAINER_OF(request, struct serving_partition, asked.request);
    atomic_store(&partition->is_answered, true);
    poke_partition(partition);
}

static void ask_store(struct serving_partition *partition, int64_t now_ms, bool wants_lease)
{
    struct serving *serving = partition->serving;
    struct node *node = serving->events->node;
    const struct options *options = node->options;
    partition->asked = (struct store_serve){
        .request = {.on_done = on_answered,
                    .lane = store_partition_lane(partition->number, node->n_workers)},
        .partition = partition->number,
        .node = presence_name(serving->events->presence),
        .wants_lease = wants_lease,
        .may_judge = now_ms >= serving->judges_from_ms,
        .keeps_offline = events_keep(serving->events, EVENT_OFFLINE),
        .offline_after_ms = (uint32_t)options->offline_after,
        .skip_alerts = partition->skip_alerts,
    };
    partition->asked_ms = now_ms;
    partition->asked_in = serving->epoch;
    partition->is_asking = true;
    store_serve(node->store, &partition->asked);
}

static void tell_due(struct serving_partition *partition)
{
    const struct store_serve *asked = &partition->asked;
    for (struct serving_listener *listener = partition->serving->listeners; listener != NULL;
         listener = listener->next) {
        if (listener->on_due != NULL)
            listener->on_due(listener, partition->number, asked->alerts, asked->n_alerts,
                             asked->n_pending_alerts);
    }
}

/* On the monotonic clock; 0: none is pending. */
static int64_t next_alert_ms(const struct serving_partition *partition, int64_t now_ms)
{
    const struct node *node = partition->serving->events->node;
    int64_t at_ms = partition->asked.next_alert_ms;
    if (at_ms == 0)
        return 0;
    int64_t in_ms = at_ms - store_now_of(node->store, store_partition_user(partition->number));
    return now_ms + (in_ms > 0 ? in_ms : AGAIN_MS);
}

/* A lease that was over before its answer came has been seen to be over by others, on their
 * threads: they have stopped, and go on when the partition is gained again. So the clock is read
 * after the time has been written. false: the new lease is over as well. */
static bool take_lease(struct serving_partition *partition)
{
    int64_t until_ms = partition->asked_ms + STORE_SERVE_LEASE_MS;
    int64_t before_ms = atomic_exchange(&partition->mine_until_ms, until_ms);
    int64_t now_ms = clock_monotonic_ms();
    if (now_ms >= before_ms || now_ms >= until_ms)
        lose_partition(partition);
    if (now_ms >= until_ms)
        return false;
    atomic_store(&partition->mine_until_ms, until_ms);
    if (!partition->is_mine)
        gain_partition(partition);
    return true;
}

static void take_good_answer(struct serving_partition *partition, int64_t now_ms)
{
    const struct store_serve *asked = &partition->asked;
    partition->n_nodes = asked->n_nodes;
    if (!asked->is_mine) {
        lose_partition(partition);
    } else if (take_lease(partition)) {
        partition->due_ms = next_alert_ms(partition, now_ms);
        tell_due(partition);
    }
    if (asked->has_more)
        atomic_store(&partition->must_ask, true);
}

static void take_answer(struct serving_partition *partition, int64_t now_ms)
{
    partition->is_asking = false;
    partition->has_failed = partition->asked.error != ERR_OK;
    bool is_of_now = partition->asked_in == partition->serving->epoch;
    if (serving_state(partition->serving) == SERVING_LEAVES)
        atomic_store(&partition->has_left, !partition->asked.wants_lease);
    else if (is_of_now && !partition->has_failed)
        take_good_answer(partition, now_ms);
    free(partition->asked.alerts);
    partition->asked.alerts = NULL;
}

static int64_t look_at_ms(struct serving_partition *partition, int64_t now_ms)
{
    bool is_shared = store_is_shared(partition->serving->events->node->store);
    int64_t at_ms = partition->asked_ms + (partition->has_failed ? AGAIN_MS
                                           : is_shared           ? LOOK_MS
                                                                 : LOOK_LOCAL_MS);
    if (atomic_exchange(&partition->must_ask, false) && !partition->has_failed)
        return now_ms;
    return partition->due_ms != 0 && partition->due_ms < at_ms ? partition->due_ms : at_ms;
}

static void look(struct serving_partition *partition, int64_t now_ms)
{
    int64_t at_ms = look_at_ms(partition, now_ms);
    if (at_ms > now_ms) {
        worker_set_timer(worker_of(partition), &partition->timer, at_ms);
        return;
    }
    bool is_surplus = must_give_back(partition, now_ms);
    if (is_surplus)
        lose_partition(partition);
    bool has_room = atomic_load(&partition->serving->n_held) < share_of(partition);
    ask_store(partition, now_ms, !is_surplus && (partition->is_mine || has_room));
}

static void leave(struct serving_partition *partition, int64_t now_ms)
{
    lose_partition(partition);
    if (!atomic_load(&partition->has_left))
        ask_store(partition, now_ms, false);
}

static void partition_turn(struct letter *letter)
{
    struct serving_partition *partition = CONTAINER_OF(letter, struct serving_partition, letter);
    int64_t now_ms = clock_monotonic_ms();
    atomic_store(&partition->is_posted, false);
    if (atomic_exchange(&partition->is_answered, false))
        take_answer(partition, now_ms);
    enum serving_state state = serving_state(partition->serving);
    if (partition->is_mine && now_ms >= atomic_load(&partition->mine_until_ms))
        lose_partition(partition);
    if (partition->is_asking)
        return;
    if (state == SERVING_RUNS)
        look(partition, now_ms);
    else if (state == SERVING_LEAVES)
        leave(partition, now_ms);
}

static void on_timer(struct timer *timer)
{
    poke_partition(CONTAINER_OF(timer, struct serving_partition, timer));
}

void serving_ask(struct serving *serving, unsigned partition)
{
    atomic_store(&serving->partitions[partition].must_ask, true);
    poke_partition(&serving->partitions[partition]);
}

void serving_skip_alerts(struct serving *serving, unsigned partition, uint32_t n)
{
    serving->partitions[partition].skip_alerts = n;
}

/* ---- begin and end ---- */

enum err serving_new(struct events *events, struct serving **ret_serving)
{
    struct serving *serving = calloc(1, sizeof *serving);
    if (serving == NULL)
        return ERR_NO_MEMORY;
    serving->events = events;
    for (unsigned i = 0; i < STORE_PARTITIONS; i++) {
        struct serving_partition *partition = &serving->partitions[i];
        partition->serving = serving;
        partition->number = i;
        partition->asked_ms = INT64_MIN / 2;
        timer_init(&partition->timer, on_timer);
    }
    *ret_serving = serving;
    return ERR_OK;
}

void serving_free(struct serving *serving)
{
    if (serving == NULL)
        return;
    for (unsigned i = 0; i < STORE_PARTITIONS; i++)
        free(serving->partitions[i].asked.alerts);
    free(serving);
}

void serving_listen(struct serving *serving, struct serving_listener *listener)
{
    listener->next = serving->listeners;
    serving->listeners = listener;
}

void serving_start(struct serving *serving)
{
    const struct options *options = serving->events->node->options;
    serving->judges_from_ms = clock_monotonic_ms() + options->offline_after;
    atomic_store(&serving->state, SERVING_RUNS);
    for (unsigned i = 0; i < STORE_PARTITIONS; i++)
        poke_partition(&serving->partitions[i]);
}

void serving_let_go(struct serving *serving)
{
    bool goes_on =
        serving_state(serving) == SERVING_RUNS && store_is_shared(serving->events->node->store);
    if (!goes_on)
        atomic_store(&serving->state, SERVING_ENDED);
    serving->epoch++;
    for (unsigned i = 0; i < STORE_PARTITIONS; i++) {
        lose_partition(&serving->partitions[i]);
        poke_partition(&serving->partitions[i]);
    }
}

static bool has_left(const struct serving *serving)
{
    for (unsigned i = 0; i < STORE_PARTITIONS; i++) {
        if (!atomic_load(&serving->partitions[i].has_left))
            return false;
    }
    return true;
}

void serving_leave(struct serving *serving, int64_t until_ms)
{
    int expected = SERVING_RUNS;
    if (!atomic_compare_exchange_strong(&serving->state, &expected, SERVING_LEAVES))
        return;
    for (unsigned i = 0; i < STORE_PARTITIONS; i++)
        poke_partition(&serving->partitions[i]);
    while (!has_left(serving) && clock_monotonic_ms() < until_ms)
        usleep(WAIT_US);
    atomic_store(&serving->state, SERVING_ENDED);
}

void serving_stop(struct serving *serving)
{
    atomic_store(&serving->state, SERVING_ENDED);
    for (unsigned i = 0; i < STORE_PARTITIONS; i++) {
        struct serving_partition *partition = &serving->partitions[i];
        worker_cancel_timer(worker_of(partition), &partition->timer);
    }
}
