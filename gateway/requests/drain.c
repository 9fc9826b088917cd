/* The node's state in a drain, SIGTERM's part, and the walk through the clients. The plan is under
 * a lock; what is asked for each session or each request (is it draining, when does that end) is in
 * the node's atomics, which are set with it. */
#include "gateway/requests/drain.h"

#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/base/metrics.h"
#include "gateway/requests/drain_plan.h"
#include "gateway/requests/nodes.h"
#include "gateway/requests/requests.h"
#include "gateway/session/session_leaving.h"

#include <stdlib.h>

enum { SLICE_CLIENTS = 128, DELAY_MS = 5000, SHARED_TIME_MS = 30000, OWN_TIME_MS = 1000 };

/* ---- one session ---- */

static int compare_ids(const void *a, const void *b)
{
    uint64_t first = *(const uint64_t *)a;
    uint64_t second = *(const uint64_t *)b;
    return first < second ? -1 : first > second;
}

static bool keeps_moment(const struct drain_plan *plan, const struct session *session)
{
    return plan->keeps_moments && session->is_draining && !session->is_aging &&
           session_has_come((uint32_t)plan->ends_ms, session->drain_at_ms);
}

/* One after the other at an even rate, each at a random moment of its own share of the time. A
 * session that the plan has not counted comes at any time. */
static uint32_t delay_of(const struct drain_walk *walk, const struct session *session)
{
    const struct drain_plan *plan = &walk->plan;
    uint64_t id = session->id;
    const uint64_t *found =
        walk->n_ids == 0 ? NULL : bsearch(&id, walk->ids, walk->n_ids, sizeof id, compare_ids);
    int64_t length_ms = plan->ends_ms - plan->begins_ms;
    int64_t random_ms =
        length_ms > 0 ? (int64_t)(worker_random(walk->worker) % (uint64_t)length_ms) : 0;
    int64_t at_ms = plan->begins_ms + random_ms;
    if (found != NULL)
        at_ms =
            plan->begins_ms + (length_ms * (found - walk->ids) + random_ms) / (int64_t)walk->n_ids;
    int64_t delay_ms = at_ms - worker_now_ms(walk->worker);
    return delay_ms > 0 ? (uint32_t)delay_ms : 0;
}

static void apply_to_session(struct drain_walk *walk, struct session *session)
{
    const struct drain_plan *plan = &walk->plan;
    if (plan->kind == DRAIN_NONE || (plan->kind == DRAIN_SOME && session->id > plan->last_id)) {
        session_stay(session);
        return;
    }
    walk->n_closing++;
    if (!keeps_moment(plan, session))
        session_drain_in(session, delay_of(walk, session));
}

/* ---- all sessions of a worker ---- */

static void apply_to_client(struct client *client, void *argument)
{
    LIST_FOR_EACH_SAFE(link, &client->sessions)
    {
        apply_to_session(argument, CONTAINER_OF(link, struct session, link));
    }
}

static void apply_to_unauthenticated(struct drain_walk *walk)
{
    LIST_FOR_EACH_SAFE(link, &walk->worker->unauthenticated)
    {
        apply_to_session(walk, CONTAINER_OF(link, struct session, link));
    }
}

static void on_slice(struct letter *letter)
{
    struct drain_walk *walk = CONTAINER_OF(letter, struct drain_walk, letter);
    struct node *node = walk->worker->node;
    if (walk->plan.number != atomic_load(&node->drains->number))
        walk->cursor = UINT64_MAX;
    else if (walk->cursor == 0)
        apply_to_unauthenticated(walk);
    if (walk->cursor != UINT64_MAX)
        client_map_visit(node->map, walk->worker->index, &walk->cursor, SLICE_CLIENTS,
                         apply_to_client, walk);
    if (walk->cursor != UINT64_MAX) {
        worker_post(walk->worker, &walk->letter, on_slice);
        return;
    }
    walk->is_under_way = false;
    if (walk->on_end != NULL)
        walk->on_end(walk);
}

void drain_walk_begin(struct drain_walk *walk, const struct drain_plan *plan)
{
    walk->plan = *plan;
    walk->cursor = 0;
    walk->n_closing = 0;
    if (walk->is_under_way)
        return;
    walk->is_under_way = true;
    on_slice(&walk->letter);
}

void drain_apply(struct worker *worker)
{
    struct drains *drains = worker->node->drains;
    struct drain_walk *walk = &drains->walks[worker->index];
    pthread_mutex_lock(&drains->lock);
    struct drain_plan plan = drains->plan;
    pthread_mutex_unlock(&drains->lock);
    walk->worker = worker;
    if (plan.number != walk->plan.number && !plan.has_own_walk)
        drain_walk_begin(walk, &plan);
    nodes_say(worker);
}

void drain_arrived(struct session *session, const struct admission *admission)
{
    const struct node *node = session_worker(session)->node;
    int kind = atomic_load(&node->drain_kind);
    if (admission->is_draining)
        session_drain_at(session, admission->drain_at_ms);
    if (kind == DRAIN_NONE)
        session_stay(session); /* it was on its way when the drain was taken back */
    else if (kind == DRAIN_ALL && !session->is_draining)
        session_drain(session); /* it was on its way when the drain began */
}

/* ---- the node ---- */

void drain_set_plan(struct drains *drains, struct drain_plan *plan)
{
    struct node *node = drains->node;
    plan->number = atomic_load(&drains->number) + 1;
    drains->plan = *plan;
    atomic_store(&node->drain_ends_ms, plan->ends_ms);
    atomic_store(&node->drain_kind, (int)plan->kind); /* after its end, which its readers read */
    atomic_store(&drains->number, plan->number);
}

void drain_set_draining(struct drains *drains, bool is_draining)
{
    struct node *node = drains->node;
    if (is_draining && !atomic_load(&node->is_draining))
        drains->announced_ms = clock_monotonic_ms();
    atomic_store(&node->is_draining, is_draining);
    metrics_set(METRIC_DRAINING, is_draining);
}

uint32_t drain_time_ms(const struct node *node)
{
    const struct options *options = atomic_load(&node->options);
    if (options->drain_time != OPTION_AUTO)
        return (uint32_t)options->drain_time;
    return store_is_shared(node->store) ? SHARED_TIME_MS : OWN_TIME_MS;
}

static uint32_t drain_delay_ms(const struct node *node)
{
    const struct options *options = atomic_load(&node->options);
    if (options->drain_delay != OPTION_AUTO)
        return (uint32_t)options->drain_delay;
    return store_is_shared(node->store) ? DELAY_MS : 0;
}

uint32_t drain_announce(struct node *node)
{
    struct drains *drains = node->drains;
    pthread_mutex_lock(&drains->lock);
    drains->is_ending = true;
    drain_set_draining(drains, true);
    int64_t left_ms = drains->announced_ms + drain_delay_ms(node) - clock_monotonic_ms();
    pthread_mutex_unlock(&drains->lock);
    worker_command_all(node, COMMAND_DRAIN);
    uint32_t delay_ms = left_ms > 0 ? (uint32_t)left_ms : 0;
    log_event(LOG_INFO, "draining", LOG_INT("delay_ms", delay_ms),
              LOG_INT("drain_ms", drain_time_ms(node)));
    return delay_ms;
}

void drain_begin(struct node *node, uint32_t drain_ms)
{
    struct drains *drains = node->drains;
    int64_t now_ms = clock_monotonic_ms();
    struct drain_plan plan = {.kind = DRAIN_ALL,
                              .begins_ms = now_ms,
                              .ends_ms = now_ms + drain_ms,
                              .keeps_moments = true};
    pthread_mutex_lock(&drains->lock);
    drains->is_ending = true;
    drain_set_draining(drains, true);
    drain_set_plan(drains, &plan);
    pthread_mutex_unlock(&drains->lock);
    gateway_end_waits(node); /* those that would acknowledge are on their way out */
    worker_command_all(node, COMMAND_DRAIN);
}

bool drain_is_ending(const struct node *node)
{
    struct drains *drains = node->drains;
    pthread_mutex_lock(&drains->lock);
    bool is_ending = drains->is_ending;
    pthread_mutex_unlock(&drains->lock);
    return is_ending;
}

void drain_adopt(struct node *node, int32_t ends_in_ms)
{
    struct drains *drains = node->drains;
    int64_t now_ms = clock_monotonic_ms();
    struct drain_plan plan = {.kind = DRAIN_ALL,
                              .begins_ms = now_ms,
                              .ends_ms = now_ms + ends_in_ms,
                              .has_own_walk = true};
    pthread_mutex_lock(&drains->lock);
    atomic_store(&node->is_refusing, true);
    drain_set_draining(drains, true);
    drain_set_plan(drains, &plan);
    pthread_mutex_unlock(&drains->lock);
}

enum err drains_new(struct node *node, struct drains **ret_drains)
{
    struct drains *drains = calloc(1, sizeof *drains + node->n_workers * sizeof drains->walks[0]);
    if (drains == NULL)
        return ERR_NO_MEMORY;
    drains->node = node;
    pthread_mutex_init(&drains->lock, NULL);
    *ret_drains = drains;
    return ERR_OK;
}

void drains_free(struct drains *drains)
{
    if (drains == NULL)
        return;
    pthread_mutex_destroy(&drains->lock);
    free(drains);
}
