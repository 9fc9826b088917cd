/* POST /drain. Each worker writes down the ids of its sessions, in slices, and sorts them. The last
 * one to be done makes the plan: which ids it closes, and over which time. Then each worker goes
 * through its clients once more, and gives those sessions their moments. The request is answered
 * when all workers are through, so that by then each client has been told.
 *
 * Without memory for the ids all sessions are closed at random moments; some cannot be chosen then,
 * and the request is refused. */
#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/requests/drain.h"
#include "gateway/requests/drain_plan.h"
#include "gateway/requests/requests.h"
#include "gateway/session/session.h"

#include <stdlib.h>

enum { SLICE_CLIENTS = 128, FIRST_IDS = 256 };

/* What one worker has to do. */
struct drain_part {
    struct letter letter;
    struct drain_walk walk; /* that gives the moments */
    struct drain_ask *ask;
    uint64_t cursor;
    size_t n;      /* sessions */
    uint64_t *ids; /* of them; NULL: there was no memory */
    size_t cap;
    bool has_no_memory;
};

struct drain_ask {
    struct node *node;
    struct gateway_drain *drain;
    struct drain_plan plan;
    atomic_uint n_left; /* workers */
    struct drain_part parts[];
};

static void answer_drain(struct drain_ask *ask, enum err error)
{
    struct gateway_drain *drain = ask->drain;
    drain->error = error;
    for (unsigned i = 0; i < ask->node->n_workers; i++)
        free(ask->parts[i].ids);
    free(ask);
    drain->on_done(drain);
}

/* ---- the moments ---- */

static void on_walked(struct drain_walk *walk)
{
    struct drain_ask *ask = CONTAINER_OF(walk, struct drain_part, walk)->ask;
    if (atomic_fetch_sub(&ask->n_left, 1) != 1)
        return;
    for (unsigned i = 0; i < ask->node->n_workers; i++)
        ask->drain->closing += ask->parts[i].walk.n_closing;
    answer_drain(ask, ERR_OK);
}

static void on_planned(struct letter *letter)
{
    struct drain_part *part = CONTAINER_OF(letter, struct drain_part, letter);
    drain_walk_begin(&part->walk, &part->ask->plan);
}

/* ---- the plan ---- */

/* How many of the sorted ids are not above this one. */
static size_t count_up_to(const struct drain_part *part, uint64_t id)
{
    size_t from = 0;
    size_t to = part->n;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (part->ids[middle] <= id)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

static size_t count_all_up_to(const struct drain_ask *ask, uint64_t id)
{
    size_t n = 0;
    for (unsigned i = 0; i < ask->node->n_workers; i++)
        n += count_up_to(&ask->parts[i], id);
    return n;
}

/* The lowest id up to which there are so many, or all. */
static uint64_t find_last_id(const struct drain_ask *ask, size_t n)
{
    uint64_t from = 0;
    uint64_t to = (UINT64_C(1) << SESSION_ID_BITS) - 1;
    while (from < to) {
        uint64_t middle = from + (to - from) / 2;
        if (count_all_up_to(ask, middle) >= n)
            to = middle;
        else
            from = middle + 1;
    }
    return to;
}

static uint32_t time_for(const struct drain_ask *ask, size_t n)
{
    uint64_t rate = ask->drain->rate;
    if (rate == 0 || n == 0)
        return n == 0 ? 0 : drain_time_ms(ask->node);
    uint64_t ms = (n * 1000 + rate - 1) / rate;
    return ms < GATEWAY_DRAIN_MAX_S * UINT64_C(1000) ? (uint32_t)ms : GATEWAY_DRAIN_MAX_S * 1000U;
}

/* Under the lock. */
static enum err check_state(const struct drains *drains, struct gateway_drain *drain)
{
    drain->is_ending = drains->is_ending;
    bool is_late = drain->connections > 0 && atomic_load(&drains->node->is_draining);
    return drains->is_ending || is_late ? ERR_CONFLICT : ERR_OK;
}

/* Under the lock: the same once the sessions are counted. A drain of all may be taken back by then.
 */
static enum err check_again(const struct drains *drains, struct gateway_drain *drain)
{
    drain->is_cancelled =
        drain->connections == 0 && !atomic_load(&drains->node->is_refusing) && !drains->is_ending;
    return drain->is_cancelled ? ERR_CONFLICT : check_state(drains, drain);
}

static enum err set_plan(struct drain_ask *ask, size_t n)
{
    struct drains *drains = ask->node->drains;
    int64_t now_ms = clock_monotonic_ms();
    struct gateway_drain *drain = ask->drain;
    drain->ms = time_for(ask, n);
    ask->plan = (struct drain_plan){
        .kind = drain->connections > 0 ? DRAIN_SOME : DRAIN_ALL,
        .begins_ms = now_ms,
        .ends_ms = now_ms + drain->ms,
        .last_id = drain->connections > 0 ? find_last_id(ask, n) : UINT64_MAX,
        .keeps_moments = drain->rate == 0,
        .has_own_walk = true,
    };
    pthread_mutex_lock(&drains->lock);
    enum err error = check_again(drains, drain);
    if (error == ERR_OK)
        drain_set_plan(drains, &ask->plan);
    pthread_mutex_unlock(&drains->lock);
    if (error == ERR_OK)
        log_event(LOG_INFO, drain->connections > 0 ? "some sessions are closed" : "draining",
                  LOG_INT("sessions", (int64_t)n), LOG_INT("drain_ms", drain->ms));
    return error;
}

static void make_plan(struct drain_ask *ask)
{
    size_t n = 0;
    bool has_no_memory = false;
    unsigned n_workers = ask->node->n_workers;
    for (unsigned i = 0; i < n_workers; i++) {
        n += ask->parts[i].n;
        has_no_memory = has_no_memory || ask->parts[i].has_no_memory;
    }
    if (ask->drain->connections > 0 && ask->drain->connections < n)
        n = ask->drain->connections;
    enum err error = ask->drain->connections > 0 && has_no_memory ? ERR_NO_MEMORY : ERR_OK;
    if (error == ERR_OK)
        error = set_plan(ask, n);
    if (error != ERR_OK) {
        answer_drain(ask, error);
        return;
    }
    for (unsigned i = 0; i < n_workers; i++) {
        struct drain_part *part = &ask->parts[i];
        part->walk.ids = part->ids;
        part->walk.n_ids = part->ids == NULL ? 0 : count_up_to(part, ask->plan.last_id);
    }
    mailbox_release(); /* they are woken at once, and work side by side */
    atomic_store(&ask->n_left, n_workers);
    for (unsigned i = 0; i < n_workers; i++) /* the last one to end frees it all */
        worker_post(ask->parts[i].walk.worker, &ask->parts[i].letter, on_planned);
}

/* ---- the ids ---- */

static void note_id(struct drain_part *part, const struct session *session)
{
    size_t cap = part->cap == 0 ? FIRST_IDS : 2 * part->cap;
    if (part->n == part->cap && !part->has_no_memory) {
        uint64_t *ids = realloc(part->ids, cap * sizeof *ids);
        if (ids == NULL) {
            free(part->ids);
            part->has_no_memory = true;
        }
        part->ids = ids;
        part->cap = cap;
    }
    if (!part->has_no_memory)
        part->ids[part->n] = session->id;
    part->n++;
}

static void note_client(struct client *client, void *argument)
{
    LIST_FOR_EACH(link, &client->sessions)
    {
        note_id(argument, CONTAINER_OF(link, struct session, link));
    }
}

static int compare_ids(const void *a, const void *b)
{
    uint64_t first = *(const uint64_t *)a;
    uint64_t second = *(const uint64_t *)b;
    return first < second ? -1 : first > second;
}

static void on_slice(struct letter *letter)
{
    struct drain_part *part = CONTAINER_OF(letter, struct drain_part, letter);
    struct worker *worker = part->walk.worker;
    struct drain_ask *ask = part->ask;
    if (part->cursor == 0) {
        LIST_FOR_EACH(link, &worker->unauthenticated)
        {
            note_id(part, CONTAINER_OF(link, struct session, link));
        }
    }
    client_map_visit(worker->node->map, worker->index, &part->cursor, SLICE_CLIENTS, note_client,
                     part);
    if (part->cursor != UINT64_MAX) {
        worker_post(worker, &part->letter, on_slice);
        return;
    }
    if (part->ids != NULL)
        qsort(part->ids, part->n, sizeof part->ids[0], compare_ids);
    if (atomic_fetch_sub(&ask->n_left, 1) == 1)
        make_plan(ask);
}

static void begin_ask(struct drain_ask *ask)
{
    struct node *node = ask->node;
    unsigned n_workers = node->n_workers;
    atomic_init(&ask->n_left, n_workers);
    for (unsigned i = 0; i < n_workers; i++) {
        ask->parts[i].ask = ask;
        ask->parts[i].walk.worker = node->workers[i];
        ask->parts[i].walk.on_end = on_walked;
    }
    mailbox_release();
    for (unsigned i = 0; i < n_workers; i++)
        worker_post(node->workers[i], &ask->parts[i].letter, on_slice);
}

/* ---- the request ---- */

/* Under the lock. */
static void take_back(struct drains *drains)
{
    struct drain_plan plan = {.kind = DRAIN_NONE};
    atomic_store(&drains->node->is_refusing, false);
    drain_set_draining(drains, false);
    drain_set_plan(drains, &plan);
}

/* What changes at once. */
static enum err begin_drain(struct node *node, struct gateway_drain *drain)
{
    struct drains *drains = node->drains;
    pthread_mutex_lock(&drains->lock);
    enum err error = check_state(drains, drain);
    if (error == ERR_OK && drain->is_cancel) {
        take_back(drains);
    } else if (error == ERR_OK && drain->connections == 0) {
        atomic_store(&node->is_refusing, true);
        drain_set_draining(drains, true);
    }
    pthread_mutex_unlock(&drains->lock);
    return error;
}

static bool takes_too_long(const struct node *node, const struct gateway_drain *drain)
{
    uint64_t n = atomic_load(&node->n_sessions);
    if (drain->connections > 0 && drain->connections < n)
        n = drain->connections;
    return drain->rate > 0 && n > (uint64_t)drain->rate * GATEWAY_DRAIN_MAX_S;
}

/* Takes no memory: what cannot be taken back would be bad. */
static void cancel_drain(struct node *node, struct gateway_drain *drain)
{
    drain->error = begin_drain(node, drain);
    if (drain->error == ERR_OK) {
        worker_command_all(node, COMMAND_DRAIN);
        log_event(LOG_INFO, "the drain is taken back",
                  LOG_INT("sessions", atomic_load(&node->n_sessions)));
    }
    drain->on_done(drain);
}

static void ask_for_drain(struct node *node, struct gateway_drain *drain)
{
    struct drain_ask *ask = calloc(1, sizeof *ask + node->n_workers * sizeof ask->parts[0]);
    drain->error = ask == NULL ? ERR_NO_MEMORY : begin_drain(node, drain);
    if (drain->error != ERR_OK) {
        free(ask);
        drain->on_done(drain);
        return;
    }
    worker_command_all(node, COMMAND_DRAIN);
    ask->node = node;
    ask->drain = drain;
    begin_ask(ask);
}

void gateway_drain(struct node *node, struct gateway_drain *drain)
{
    drain->closing = 0;
    drain->ms = 0;
    if (drain->is_cancel) {
        cancel_drain(node, drain);
    } else if (takes_too_long(node, drain)) {
        drain->error = ERR_INVALID_FIELD;
        drain->on_done(drain);
    } else {
        ask_for_drain(node, drain);
    }
}
