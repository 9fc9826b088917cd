#include "gateway/stores/redis/redis_probe.h"

#include "gateway/base/metrics.h"
#include "gateway/stores/redis/redis_subs.h"

static int64_t now_of(const struct redis_probe *probe)
{
    return reactor_now_ms(probe->shard->commands.reactor);
}

static void end_probe(struct redis_probe *probe)
{
    struct redis_sub *sub = probe->sub;
    probe->sub = NULL;
    if (sub != NULL)
        redis_subs_release(probe->shard->subs, sub);
}

/* A user who was subscribed all the time must have got it; of another one nothing is known. */
static void fail_probe(struct redis_probe *probe)
{
    bool is_known = probe->sub->is_steady && redis_subs_is_settled(probe->shard->subs, probe->sub);
    end_probe(probe);
    if (!is_known)
        return;
    metrics_count(METRIC_STORE_PROBES_FAILED);
    redis_sub_link_restart(&probe->shard->sub_link, REDIS_WHY_DEAF);
}

/* Another user each time. NULL: none is subscribed in the part of the table that was looked
 * through.
 */
static struct redis_sub *find_user(const struct redis_shard *shard)
{
    enum { LOOK_THROUGH = 1024 };
    const struct redis_subs *subs = shard->subs;
    size_t n = subs->table.users.n_buckets;
    uint32_t at = (uint32_t)reactor_now_ms(shard->commands.reactor) * 2654435761u;
    for (size_t i = 0; i < n && i < LOOK_THROUGH; i++) {
        HASH_TABLE_FOR_EACH_IN(link, &subs->table.users, (at + i) % n)
        {
            struct redis_sub *sub = CONTAINER_OF(link, struct redis_sub, link);
            if (sub->shard == shard->index && redis_subs_is_settled(subs, sub))
                return sub;
        }
    }
    return NULL;
}

static void on_published(void *owner, void *arg, size_t index, const struct redis_value *reply)
{
    (void)index;
    struct redis_probe *probe = arg;
    int64_t n_receivers;
    if (probe->sub == NULL)
        return;
    if (!redis_value_integer(reply, &n_receivers)) {
        if (redis_value_is(reply, REDIS_ERROR))
            redis_commands_refused(owner, reply->bytes);
        end_probe(probe);
        return;
    }
    probe->is_answered = true;
    probe->answered_ms = now_of(probe);
    if (n_receivers == 0)
        fail_probe(probe);
}

static void send_probe(struct redis_probe *probe)
{
    struct redis_shard *shard = probe->shard;
    struct redis_sub *sub = find_user(shard);
    if (sub == NULL)
        return;
    const struct redis_common *common = shard->commands.common;
    struct redis_keys keys;
    redis_keys_write(&keys, common->prefix, redis_sub_user(sub));
    redis_keys_write_channel(&keys, common->channels);
    struct span args[] = {SPAN_LITERAL("SPUBLISH"), keys.channel, SPAN_LITERAL("P:")};
    struct redis_call call = {.on_reply = on_published, .arg = probe};
    if (redis_commands_send(&shard->commands, &call, args, 3) != ERR_OK)
        return;
    redis_subs_hold(sub);
    sub->is_steady = true;
    probe->sub = sub;
    probe->is_answered = false;
    probe->sent_ms = now_of(probe);
}

static void on_tick(struct timer *timer)
{
    struct redis_probe *probe = CONTAINER_OF(timer, struct redis_probe, timer);
    const struct redis_sub_link *sub_link = &probe->shard->sub_link;
    int64_t now_ms = now_of(probe);
    timer_set(reactor_timers(probe->shard->commands.reactor), timer, now_ms + REDIS_PROBE_TICK_MS);
    if (probe->sub == NULL) {
        if (probe->shard->is_up && now_ms - sub_link->heard_ms >= REDIS_PROBE_QUIET_MS)
            send_probe(probe);
    } else if (sub_link->heard_ms >= probe->sent_ms || !probe->shard->is_up) {
        if (probe->is_answered)
            end_probe(probe);
    } else if (probe->is_answered && now_ms - probe->answered_ms >= REDIS_PROBE_WAIT_MS) {
        fail_probe(probe);
    }
}

void redis_probe_init(struct redis_probe *probe, struct redis_shard *shard)
{
    probe->shard = shard;
    struct reactor *reactor = shard->commands.reactor;
    timer_init(&probe->timer, on_tick);
    timer_set(reactor_timers(reactor), &probe->timer,
              reactor_now_ms(reactor) + REDIS_PROBE_TICK_MS);
}

void redis_probe_fini(struct redis_probe *probe)
{
    timer_cancel(reactor_timers(probe->shard->commands.reactor), &probe->timer);
    end_probe(probe);
}
