#include "gateway/stores/redis/redis_shard.h"

#include "gateway/stores/redis/redis_repeats.h"

/* The name in --store may lead to another Redis by now: whoever came last is where it leads. */
static bool leave_other_redis(struct redis_shard *shard)
{
    static const char why[] = REDIS_WHY_TWO_REDIS;
    struct redis_commands *commands = &shard->commands;
    struct redis_sub_link *sub_link = &shard->sub_link;
    if (!commands->is_ready || !sub_link->is_ready ||
        !redis_run_id_differs(&commands->run_id, &sub_link->run_id))
        return false;
    if (sub_link->ready_ms > commands->ready_ms)
        redis_link_break(commands->link, why);
    else
        redis_sub_link_restart(sub_link, why);
    return true;
}

void redis_shard_review(struct redis_shard *shard)
{
    if (!shard->is_up && leave_other_redis(shard))
        return;
    bool is_up = shard->commands.is_ready && shard->sub_link.is_ready;
    if (is_up == shard->is_up)
        return;
    shard->is_up = is_up;
    if (is_up)
        shard->on_up(shard);
    else
        shard->on_down(shard);
}

static void on_commands_loaded(void *owner)
{
    struct redis_shard *shard = owner;
    redis_trial_begin(&shard->trial);
}

/* A name that resolved to a replica may resolve to another Redis now: the subscriptions follow. */
static void on_commands_ready(void *owner)
{
    struct redis_shard *shard = owner;
    if (shard->commands.was_replica)
        redis_sub_link_restart(&shard->sub_link, "the primary may be another now");
    shard->commands.was_replica = false;
    redis_repeats_wake(shard->commands.repeats);
    redis_shard_review(shard);
}

static void on_commands_down(void *owner, bool was_ready)
{
    struct redis_shard *shard = owner;
    redis_trial_stop(&shard->trial);
    if (!was_ready)
        return;
    redis_replicas_restart(&shard->replicas, "the primary may be another now");
    redis_shard_review(shard);
}

static void on_doubt(void *owner)
{
    struct redis_shard *shard = owner;
    redis_commands_ask_time(&shard->commands);
}

static void on_trial_heard(void *owner)
{
    struct redis_shard *shard = owner;
    shard->on_heard(shard);
}

enum err redis_shard_init(struct redis_shard *shard, struct redis_common *common,
                          struct reactor *reactor, bool is_first)
{
    if (shard->nobody[0] == '\0')
        shard->nobody[0] = '%'; /* in a name two digits follow each `%` */
    shard->commands.owner = shard;
    shard->commands.primary = shard->primary;
    shard->commands.on_loaded = on_commands_loaded;
    shard->commands.on_ready = on_commands_ready;
    shard->commands.on_down = on_commands_down;
    shard->commands.replicas = &shard->replicas;
    shard->replicas.owner = &shard->commands;
    shard->replicas.primary = shard->primary;
    shard->replicas.writer = &shard->commands.link;
    shard->replicas.written_at = &shard->commands.run_id;
    shard->replicas.resolver = shard->commands.resolver;
    enum err error = redis_replicas_init(&shard->replicas, common, reactor);
    if (error != ERR_OK)
        return error;
    error = redis_commands_init(&shard->commands, common, reactor);
    if (error != ERR_OK)
        goto undo_replicas;
    shard->trial.nobody = shard->nobody;
    shard->trial.is_first = is_first;
    shard->trial.owner = shard;
    shard->trial.on_heard = on_trial_heard;
    redis_trial_init(&shard->trial, &shard->commands);
    shard->sub_link.primary = shard->primary;
    shard->sub_link.nobody = shard->nobody;
    shard->sub_link.on_doubt = on_doubt;
    error = redis_sub_link_init(&shard->sub_link, common, reactor);
    if (error != ERR_OK)
        goto undo_commands;
    return ERR_OK;

undo_commands:
    redis_commands_fini(&shard->commands);
undo_replicas:
    redis_replicas_fini(&shard->replicas);
    return error;
}

void redis_shard_fini(struct redis_shard *shard)
{
    redis_sub_link_fini(&shard->sub_link);
    redis_trial_stop(&shard->trial);
    redis_replicas_fini(&shard->replicas);
    redis_commands_fini(&shard->commands);
}
