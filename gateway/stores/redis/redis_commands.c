/* Connected: INFO, CONFIG GET and SCRIPT LOAD go out in one pipeline. The answer to the last SCRIPT
 * LOAD, unless one before it broke the link, calls on_loaded. The owner sends a trial then; its
 * answer makes this side ready, whatever it is: what Redis refuses to write it may still read. */
#include "gateway/stores/redis/redis_commands.h"

#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/base/metrics.h"
#include "gateway/stores/redis/redis_cluster.h"
#include "gateway/stores/redis/redis_replicas.h"
#include "proto/bytes/decimal.h"
#include "proto/bytes/put.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum { OLDEST_MAJOR_VERSION = 7 };

/* --- what is asked of a Redis that has just let us in --- */

static void ask_redis(struct redis_commands *commands, const struct span *args, size_t n_args,
                      redis_reply_fn on_reply, size_t index)
{
    if (redis_link_command(commands->link, args, n_args, on_reply, commands, index) != ERR_OK)
        redis_link_break(commands->link, "out of memory");
}

static void on_info(void *owner, void *arg, size_t index, const struct redis_value *reply)
{
    (void)arg;
    (void)index;
    struct redis_commands *commands = owner;
    static const char name[] = "redis_version:";
    static const char cluster[] = "redis_mode:cluster";
    struct span text;
    redis_run_id_read(reply, &commands->run_id);
    if (!redis_value_text(reply, &text)) {
        if (redis_value_is(reply, REDIS_ERROR))
            log_event(LOG_DEBUG, "the version of Redis is not told",
                      LOG_TEXT("error", reply->bytes));
        return;
    }
    bool is_cluster = memmem(text.bytes, text.len, cluster, sizeof cluster - 1) != NULL;
    if (is_cluster != (commands->common->cluster != NULL)) {
        redis_link_break(commands->link, is_cluster ? REDIS_WHY_CLUSTER : REDIS_WHY_NO_CLUSTER);
        return;
    }
    const char *at = memmem(text.bytes, text.len, name, sizeof name - 1);
    if (at == NULL)
        return;
    at += sizeof name - 1;
    long major = strtol(at, NULL, 10); /* a NUL follows the text */
    if (major >= OLDEST_MAJOR_VERSION)
        return;
    char why[80];
    size_t len = strcspn(at, " \r\n");
    snprintf(why, sizeof why, "Redis %.*s" REDIS_WHY_TOO_OLD, (int)(len < 40 ? len : 40), at);
    redis_link_break(commands->link, why);
}

/* Settings that Redis can have and Herald warns about, once. */
static const struct {
    const char *name;
    const char *wanted;
    const char *advice;
} settings[] = {
    {"appendonly", "yes",
     "pushes that were accepted are lost when Redis restarts: set appendonly yes in redis.conf"},
    {"maxmemory-policy", "noeviction",
     "Redis may drop pushes that were accepted: set maxmemory-policy noeviction in redis.conf"},
};
enum { SETTINGS = sizeof settings / sizeof settings[0] };

static void on_setting(void *owner, void *arg, size_t index, const struct redis_value *reply)
{
    (void)arg;
    struct redis_commands *commands = owner;
    struct span value;
    if (!redis_value_text(redis_value_item(reply, 1), &value)) {
        if (redis_value_is(reply, REDIS_ERROR))
            log_event(LOG_DEBUG, "a setting of Redis is not told",
                      LOG_TEXT("setting", settings[index].name), LOG_TEXT("error", reply->bytes));
        return;
    }
    if (!span_equal(value, span_of(settings[index].wanted)))
        log_event(LOG_WARN, "a setting of Redis is risky",
                  LOG_TEXT("address", commands->primary->shown),
                  LOG_TEXT("setting", settings[index].name), LOG_SPAN("value", value),
                  LOG_TEXT("advice", settings[index].advice));
}

/* With Sentinel. What INFO says of good replicas is there only if their number matters. */
static void on_replication(void *owner, void *arg, size_t index, const struct redis_value *reply)
{
    (void)arg;
    (void)index;
    struct redis_commands *commands = owner;
    static const char number[] = "connected_slaves:";
    static const char good[] = "min_slaves_good_slaves:";
    struct span text;
    const char *at = redis_value_text(reply, &text)
                         ? memmem(text.bytes, text.len, number, sizeof number - 1)
                         : NULL;
    if (at == NULL || strtol(at + sizeof number - 1, NULL, 10) == 0 ||
        memmem(text.bytes, text.len, good, sizeof good - 1) != NULL)
        return;
    log_event(LOG_WARN, "a setting of Redis is risky",
              LOG_TEXT("address", commands->common->url.shown),
              LOG_TEXT("setting", "min-replicas-to-write"), LOG_TEXT("value", "0"),
              LOG_TEXT("advice", "a primary that is cut off goes on taking pushes that are then "
                                 "lost: set min-replicas-to-write 1 and min-replicas-max-lag 10"));
}

static void on_script_loaded(void *owner, void *arg, size_t index, const struct redis_value *reply)
{
    (void)arg;
    struct redis_commands *commands = owner;
    if (reply == NULL || !redis_link_is_up(commands->link))
        return;
    struct span sha;
    if (!redis_value_text(reply, &sha) || sha.len != SHA_HEX_LEN) {
        redis_link_break(commands->link, redis_value_is(reply, REDIS_ERROR)
                                             ? reply->bytes
                                             : "SCRIPT LOAD was not answered with a name");
        return;
    }
    memcpy(commands->sha[index], sha.bytes, SHA_HEX_LEN);
    if (index + 1 < SCRIPTS)
        return;
    commands->is_loading = false;
    if (!commands->is_ready)
        commands->on_loaded(commands->owner);
}

void redis_commands_load_scripts(struct redis_commands *commands)
{
    if (commands->is_loading || !redis_link_is_up(commands->link))
        return;
    commands->is_loading = true;
    for (size_t i = 0; i < SCRIPTS; i++) {
        struct span load[] = {SPAN_LITERAL("SCRIPT"), SPAN_LITERAL("LOAD"),
                              commands->common->scripts[i]};
        ask_redis(commands, load, 3, on_script_loaded, i);
    }
}

void redis_commands_become_ready(struct redis_commands *commands)
{
    commands->is_ready = true;
    commands->is_coming = false;
    commands->ready_ms = reactor_now_ms(commands->reactor);
    commands->presence_told = 0;
    redis_link_accept(commands->link);
    commands->on_ready(commands->owner);
}

/* The year 33658; what is computed with times stays far below what 64 bits hold. */
static const uint64_t seconds_max = UINT64_C(1000000000000);

/* Two texts: seconds and microseconds. */
static bool read_time(const struct redis_value *reply, int64_t *ret_ms)
{
    enum { MICROS = 1000000 };
    struct span texts[2];
    uint64_t seconds, micros;
    for (size_t i = 0; i < 2; i++)
        if (!redis_value_text(redis_value_item(reply, i), &texts[i]))
            return false;
    if (!decimal_read(texts[0], seconds_max, &seconds) ||
        !decimal_read(texts[1], MICROS - 1, &micros) || seconds == 0)
        return false;
    *ret_ms = (int64_t)(seconds * 1000 + micros / 1000);
    return true;
}

static void on_time(void *owner, void *arg, size_t index, const struct redis_value *reply)
{
    (void)arg;
    (void)index;
    struct redis_commands *commands = owner;
    int64_t time_ms;
    if (read_time(reply, &time_ms))
        redis_clock_set(commands->primary->clock, time_ms, commands->clock_asked_ms,
                        clock_monotonic_ms());
    else if (redis_value_is(reply, REDIS_ERROR))
        log_event(LOG_DEBUG, "the time of Redis is not told", LOG_TEXT("error", reply->bytes));
}

static void ask_time(struct redis_commands *commands)
{
    struct span time[] = {SPAN_LITERAL("TIME")};
    commands->clock_asked_ms = clock_monotonic_ms();
    ask_redis(commands, time, 1, on_time, 0);
    timer_set(reactor_timers(commands->reactor), &commands->clock_timer,
              reactor_now_ms(commands->reactor) + REDIS_ASK_TIME_MS);
}

void redis_commands_ask_time(struct redis_commands *commands)
{
    int64_t now_ms = reactor_now_ms(commands->reactor);
    int64_t due_ms = commands->clock_asked_ms + REDIS_TIME_PAUSE_MS;
    if (redis_link_is_up(commands->link))
        timer_set(reactor_timers(commands->reactor), &commands->clock_timer,
                  due_ms > now_ms ? due_ms : now_ms);
}

static void on_role(void *owner, void *arg, size_t index, const struct redis_value *reply)
{
    (void)arg;
    (void)index;
    struct redis_commands *commands = owner;
    redis_replicas_take_role(commands->replicas, reply);
}

/* Which replicas are online changes by itself. */
static void ask_role(struct redis_commands *commands)
{
    struct span role[] = {SPAN_LITERAL("ROLE")};
    if (commands->common->url.topology != REDIS_SINGLE)
        ask_redis(commands, role, 1, on_role, 0);
}

static void on_clock_due(struct timer *timer)
{
    struct redis_commands *commands = CONTAINER_OF(timer, struct redis_commands, clock_timer);
    if (!redis_link_is_up(commands->link))
        return;
    ask_time(commands);
    ask_role(commands);
}

static void on_commands_up(void *owner)
{
    struct redis_commands *commands = owner;
    struct span info[] = {SPAN_LITERAL("INFO"), SPAN_LITERAL("server")};
    ask_redis(commands, info, 2, on_info, 0);
    bool has_warned = atomic_exchange(&commands->common->has_warned, true);
    for (size_t i = 0; !has_warned && i < SETTINGS; i++) {
        struct span get[] = {SPAN_LITERAL("CONFIG"), SPAN_LITERAL("GET"),
                             span_of(settings[i].name)};
        ask_redis(commands, get, 3, on_setting, i);
    }
    if (!has_warned && commands->common->url.topology == REDIS_SENTINEL) {
        struct span replication[] = {SPAN_LITERAL("INFO"), SPAN_LITERAL("replication")};
        ask_redis(commands, replication, 2, on_replication, 0);
    }
    ask_time(commands); /* before anything is read that is compared with it */
    ask_role(commands);
    redis_commands_load_scripts(commands);
}

static void on_commands_down(void *owner, bool was_up, const char *why)
{
    struct redis_commands *commands = owner;
    if (was_up && commands->is_ready)
        metrics_count(METRIC_STORE_RECONNECTS);
    bool was_ready = commands->is_ready;
    commands->is_ready = false;
    commands->is_coming = false;
    commands->is_loading = false;
    timer_cancel(reactor_timers(commands->reactor), &commands->clock_timer);
    redis_primary_away(commands->primary, why);
    redis_cluster_want(commands->common->cluster);
    commands->on_down(commands->owner, was_ready);
}

/* --- scripts --- */

enum err redis_commands_eval(struct redis_commands *commands, const struct redis_call *call,
                             enum redis_script script, const struct span *args, size_t n_args,
                             size_t n_keys)
{
    char digits[PUT_NUMBER_MAX_BYTES];
    assert(n_args + 3 <= EVAL_MAX_ARGS && n_keys <= n_args);
    if (script != SCRIPT_TRIAL && (!commands->is_ready || commands->is_denied))
        return ERR_STORE_UNAVAILABLE;
    struct span all[EVAL_MAX_ARGS];
    all[0] = call->with_text ? SPAN_LITERAL("EVAL") : SPAN_LITERAL("EVALSHA");
    all[1] = call->with_text ? commands->common->scripts[script]
                             : (struct span){commands->sha[script], SHA_HEX_LEN};
    all[2] = (struct span){digits, (size_t)(put_number(digits, n_keys) - digits)};
    memcpy(all + 3, args, n_args * sizeof *args);
    return redis_link_command(commands->link, all, n_args + 3, call->on_reply, call->arg,
                              call->index);
}

enum err redis_commands_send(struct redis_commands *commands, const struct redis_call *call,
                             const struct span *args, size_t n_args)
{
    if (!commands->is_ready)
        return ERR_STORE_UNAVAILABLE;
    return redis_link_command(commands->link, args, n_args, call->on_reply, call->arg, call->index);
}

/* --- refusals --- */

void redis_commands_deny(struct redis_commands *commands, bool is_denied)
{
    if (is_denied == commands->is_denied)
        return;
    commands->is_denied = is_denied;
    redis_primary_denied(commands->primary, is_denied);
}

void redis_commands_refused(struct redis_commands *commands, const char *error)
{
    if (redis_cluster_redirected(commands->common->cluster, error, &commands->primary->address))
        return;
    if (strncmp(error, "CLUSTERDOWN", 11) == 0)
        redis_cluster_want(commands->common->cluster);
    redis_primary_refused(commands->primary, error);
    if (redis_trouble_breaks_off(error))
        redis_commands_deny(commands, true); /* until the next trial, which knows more */
    if (!redis_trouble_at(redis_trouble_find(error))->is_replica)
        return;
    commands->was_replica = true;
    redis_link_leave(commands->link, error);
}

static void answer_refused(struct redis_commands *commands)
{
    while (commands->refused != NULL) {
        struct store_request *request = commands->refused;
        commands->refused = request->next;
        if (commands->refused == NULL)
            commands->refused_last = &commands->refused;
        request->on_done(request);
    }
}

static void run_refuse_task(struct reactor_task *task)
{
    answer_refused(CONTAINER_OF(task, struct redis_commands, refuse_task));
}

void redis_commands_refuse(struct redis_commands *commands, struct store_request *request)
{
    request->next = NULL;
    *commands->refused_last = request;
    commands->refused_last = &request->next;
    reactor_at_turn_end(commands->reactor, &commands->refuse_task);
}

enum err redis_commands_init(struct redis_commands *commands, struct redis_common *common,
                             struct reactor *reactor)
{
    commands->common = common;
    commands->reactor = reactor;
    commands->refused_last = &commands->refused;
    list_init(&commands->refuse_task.link);
    commands->refuse_task.run = run_refuse_task;
    timer_init(&commands->clock_timer, on_clock_due);
    if (commands->primary == NULL)
        return ERR_OK;
    struct redis_link_config config = {
        .kind = REDIS_LINK_OF_COMMANDS,
        .reactor = reactor,
        .url = &common->url,
        .resolver = commands->resolver,
        .tls = common->tls,
        .tls_name = redis_common_tls_name(common),
        .client_name = common->client_name,
        .address = redis_primary_address(commands->primary),
        .owner = commands,
        .on_up = on_commands_up,
        .on_down = on_commands_down,
    };
    return redis_link_new(&config, &commands->link);
}

void redis_commands_fini(struct redis_commands *commands)
{
    commands->is_ready = false;
    timer_cancel(reactor_timers(commands->reactor), &commands->clock_timer);
    redis_link_free(commands->link);
    commands->link = NULL;
    answer_refused(commands);
    reactor_task_cancel(&commands->refuse_task);
}
