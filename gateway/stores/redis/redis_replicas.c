/* What is answered goes to `held`. At the end of the turn it becomes `asked`, and one WAIT is sent
 * for all of it; the answer ends it in one of three ways. Enough replicas have it; or too few; or
 * nobody knows, because the primary is none any more. */
#include "gateway/stores/redis/redis_replicas.h"

#include "gateway/base/metrics.h"
#include "gateway/stores/redis/redis_troubles.h"
#include "proto/bytes/put.h"

#include <stdlib.h>

static bool is_auto(const struct redis_replicas *replicas)
{
    return replicas->common->wait_replicas < 0;
}

/* --- answering --- */

/* GONE: the Redis that has written it is no primary any more, or cannot be asked: another may have
 * taken its place without it. */
enum outcome { ENOUGH, TOO_FEW, GONE };

static void answer_kept(struct redis_replicas *replicas, const struct redis_kept *kept,
                        enum outcome outcome)
{
    bool must_refuse = outcome == GONE || (outcome == TOO_FEW && !is_auto(replicas));
    if (outcome != ENOUGH)
        metrics_count(METRIC_STORE_UNREPLICATED);
    kept->on_kept(replicas->owner, kept->arg, kept->index,
                  must_refuse ? ERR_STORE_UNAVAILABLE : ERR_OK);
}

/* Meanwhile `held` may grow, but `asked` stays as it is. */
static void answer_asked(struct redis_replicas *replicas, enum outcome outcome)
{
    if (outcome == TOO_FEW && is_auto(replicas))
        replicas->rest_until_ms = reactor_now_ms(replicas->reactor) + REDIS_REPLICAS_REST_MS;
    for (size_t i = 0; i < replicas->asked.n; i++)
        answer_kept(replicas, &replicas->asked.items[i], outcome);
    replicas->asked.n = 0;
    replicas->is_asking = false;
    if (replicas->held.n > 0)
        reactor_at_turn_end(replicas->reactor, &replicas->task);
}

static void take_held(struct redis_replicas *replicas)
{
    struct redis_kept_list empty = replicas->asked;
    replicas->asked = replicas->held;
    replicas->held = empty;
    replicas->is_asking = true;
}

/* --- asking --- */

static void ignore_pong(void *owner, void *arg, size_t index, const struct redis_value *reply)
{
    (void)owner;
    (void)arg;
    (void)index;
    (void)reply;
}

/* Redis says so to a WAIT under way when it becomes a replica, and to one that comes later. */
static bool was_demoted(const struct redis_value *reply)
{
    return redis_value_starts(reply, "UNBLOCKED") ||
           redis_value_starts(reply, "ERR WAIT cannot be used with replica");
}

/* The links to a name that moves, or to what Sentinels name, follow one after the other. */
static bool is_elsewhere(const struct redis_replicas *replicas)
{
    return replicas->written_at != NULL &&
           redis_run_id_differs(&replicas->run_id, replicas->written_at);
}

/* Where it was written is the primary no more, which that link itself sees at its next look. */
static bool has_moved(const struct redis_replicas *replicas)
{
    return replicas->writer != NULL && *replicas->writer != NULL &&
           redis_link_has_moved(*replicas->writer);
}

static enum outcome read_outcome(const struct redis_replicas *replicas,
                                 const struct redis_value *reply, int64_t n_wanted)
{
    int64_t n;
    if (reply == NULL || (redis_value_is(reply, REDIS_ERROR) && was_demoted(reply)))
        return GONE;
    if (is_elsewhere(replicas) || has_moved(replicas))
        return GONE;
    return redis_value_integer(reply, &n) && n >= n_wanted ? ENOUGH : TOO_FEW;
}

static void on_waited(void *owner, void *arg, size_t index, const struct redis_value *reply)
{
    (void)arg;
    struct redis_replicas *replicas = owner;
    if (redis_value_is(reply, REDIS_ERROR))
        redis_primary_refused_one(replicas->primary, reply->bytes);
    if (reply != NULL && is_elsewhere(replicas))
        redis_link_break(replicas->link, REDIS_WHY_TWO_REDIS);
    answer_asked(replicas, read_outcome(replicas, reply, (int64_t)index));
}

static enum err send_wait(struct redis_replicas *replicas)
{
    char digits[PUT_NUMBER_MAX_BYTES];
    char ms[PUT_NUMBER_MAX_BYTES];
    struct span ping[] = {SPAN_LITERAL("PING")};
    struct span wait[] = {
        SPAN_LITERAL("WAIT"),
        {digits, (size_t)(put_number(digits, replicas->n_wanted) - digits)},
        {ms, (size_t)(put_number(ms, REDIS_REPLICAS_MS) - ms)},
    };
    if (replicas->link == NULL)
        return ERR_STORE_UNAVAILABLE;
    enum err error = redis_link_command(replicas->link, ping, 1, ignore_pong, NULL, 0);
    if (error == ERR_OK)
        error = redis_link_command(replicas->link, wait, 3, on_waited, NULL, replicas->n_wanted);
    return error;
}

static void run_task(struct reactor_task *task)
{
    struct redis_replicas *replicas = CONTAINER_OF(task, struct redis_replicas, task);
    if (replicas->is_asking || replicas->held.n == 0)
        return;
    take_held(replicas);
    if (send_wait(replicas) != ERR_OK)
        answer_asked(replicas, has_moved(replicas) ? GONE : TOO_FEW);
}

bool redis_replicas_are_wanted(const struct redis_replicas *replicas)
{
    bool is_resting =
        replicas->rest_until_ms != 0 && reactor_now_ms(replicas->reactor) < replicas->rest_until_ms;
    return (replicas->n_wanted > 0 && !is_resting) || has_moved(replicas);
}

static enum err make_room(struct redis_kept_list *list)
{
    enum { FIRST_CAP = 64 };
    if (list->n < list->cap)
        return ERR_OK;
    size_t cap = list->cap == 0 ? FIRST_CAP : list->cap * 2;
    struct redis_kept *items = realloc(list->items, cap * sizeof *items);
    if (items == NULL)
        return ERR_NO_MEMORY;
    list->items = items;
    list->cap = cap;
    return ERR_OK;
}

void redis_replicas_hold(struct redis_replicas *replicas, redis_kept_fn on_kept, void *arg,
                         size_t index)
{
    struct redis_kept kept = {on_kept, arg, index};
    if (make_room(&replicas->held) != ERR_OK) {
        answer_kept(replicas, &kept, TOO_FEW);
        return;
    }
    replicas->held.items[replicas->held.n++] = kept;
    reactor_at_turn_end(replicas->reactor, &replicas->task);
}

/* --- the link --- */

/* Who may not ask is let in. Its answer comes before those of WAIT. */
static void on_info(void *owner, void *arg, size_t index, const struct redis_value *reply)
{
    struct redis_replicas *replicas = owner;
    (void)arg;
    (void)index;
    redis_run_id_read(reply, &replicas->run_id);
}

static void on_link_up(void *owner)
{
    struct redis_replicas *replicas = owner;
    struct span info[] = {SPAN_LITERAL("INFO"), SPAN_LITERAL("server")};
    if (redis_link_command(replicas->link, info, 2, on_info, NULL, 0) != ERR_OK)
        redis_link_break(replicas->link, "out of memory");
    else
        redis_link_accept(replicas->link);
}

static void on_link_down(void *owner, bool was_up, const char *why)
{
    (void)owner;
    (void)why;
    if (was_up)
        metrics_count(METRIC_STORE_RECONNECTS);
}

static enum err open_link(struct redis_replicas *replicas)
{
    struct redis_link_config config = {
        .kind = REDIS_LINK_OF_REPLICAS,
        .reactor = replicas->reactor,
        .url = &replicas->common->url,
        .address = redis_primary_address(replicas->primary),
        .resolver = replicas->resolver,
        .tls = replicas->common->tls,
        .tls_name = redis_common_tls_name(replicas->common),
        .client_name = replicas->common->client_name,
        .owner = replicas,
        .on_up = on_link_up,
        .on_down = on_link_down,
    };
    return redis_link_new(&config, &replicas->link);
}

/* Those that a WAIT is under way for are answered when its link breaks. */
void redis_replicas_restart(struct redis_replicas *replicas, const char *why)
{
    struct redis_kept_list lost = replicas->held;
    replicas->held = (struct redis_kept_list){0};
    for (size_t i = 0; i < lost.n; i++)
        answer_kept(replicas, &lost.items[i], GONE);
    free(lost.items);
    if (replicas->link != NULL)
        redis_link_break(replicas->link, why);
}

/* ["master", offset, [[host, port, offset], ...]] */
void redis_replicas_take_role(struct redis_replicas *replicas, const struct redis_value *role)
{
    const struct redis_value *online = redis_value_item(role, 2);
    if (!is_auto(replicas) || !redis_value_is(online, REDIS_ARRAY))
        return;
    replicas->n_wanted = online->n > 0 ? 1 : 0;
    if (replicas->n_wanted > 0 && replicas->link == NULL && open_link(replicas) != ERR_OK)
        replicas->n_wanted = 0; /* out of memory: the next ROLE tries again */
}

enum err redis_replicas_init(struct redis_replicas *replicas, struct redis_common *common,
                             struct reactor *reactor)
{
    replicas->common = common;
    replicas->reactor = reactor;
    list_init(&replicas->task.link);
    replicas->task.run = run_task;
    replicas->n_wanted = is_auto(replicas) ? 0 : (unsigned)common->wait_replicas;
    bool has_redis = replicas->primary != NULL; /* the shard of slots without an owner has none */
    return replicas->n_wanted > 0 && has_redis ? open_link(replicas) : ERR_OK;
}

void redis_replicas_fini(struct redis_replicas *replicas)
{
    redis_link_free(replicas->link); /* answers those of the WAIT */
    replicas->link = NULL;
    while (replicas->held.n > 0) {
        take_held(replicas);
        answer_asked(replicas, GONE);
    }
    reactor_task_cancel(&replicas->task);
    free(replicas->asked.items);
    free(replicas->held.items);
}
