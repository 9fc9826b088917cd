/* Each tick makes the users due whose turn has come, and asks about the first of them. When all
 * answers are there, it asks about the next ones, until none is due. What cannot be asked, because
 * the shard is down, is left out: its users are told that they may have missed something when it is
 * back. */
#include "gateway/stores/redis/redis_heads.h"

#include "gateway/base/hash.h"
#include "gateway/base/metrics.h"
#include "gateway/stores/redis/redis_cluster.h"

/* What is asked about a user: the `index` of an answer is that of the user, twice, and one of
 * these.
 */
enum { ASKED_RECORD, ASKED_BLOCK, ASKED };

static const uint64_t cycle = UINT64_C(1) << 32;

static struct store_known known_now(const struct redis_heads *heads, const struct redis_sub *sub)
{
    const struct redis_common *common = heads->subs->common;
    struct store_known known = {0};
    common->events.get_known(common->owner, redis_sub_user(sub), &known);
    return known;
}

static void release_user(struct redis_heads *heads, struct redis_sub *sub)
{
    sub->is_compared = false;
    redis_subs_release(heads->subs, sub);
}

/* ---- what Redis has ---- */

static bool knows(const struct store_known *known, const struct store_known *found)
{
    return found->head == 0 ||
           (epoch_equal(known->epoch, found->epoch) && known->head >= found->head);
}

/* Was known before Redis was asked, and is not so there. */
static bool is_lost(const struct store_known *known, const struct store_known *found)
{
    bool is_given_again = found->head == known->head && found->time != known->time &&
                          found->time != 0 && known->time != 0;
    return !epoch_is_none(known->epoch) && (!epoch_equal(known->epoch, found->epoch) ||
                                            found->head < known->head || is_given_again);
}

static void report_behind(struct redis_heads *heads, struct redis_sub *sub)
{
    metrics_count(METRIC_STORE_HEADS_BEHIND);
    redis_subs_report(heads->subs, sub);
}

/* The user is held for longer. */
static void look_again_later(struct redis_heads *heads, struct redis_heads_user *user,
                             const struct store_known *found)
{
    if (heads->n_behind == REDIS_HEADS_AT_ONCE) {
        report_behind(heads, user->sub);
        return;
    }
    heads->behind[heads->n_behind++] =
        (struct redis_heads_behind){user->sub, *found, reactor_now_ms(heads->reactor)};
    user->sub = NULL;
}

static void look_again(struct redis_heads *heads)
{
    int64_t now_ms = reactor_now_ms(heads->reactor);
    size_t n = 0;
    while (n < heads->n_behind && now_ms - heads->behind[n].since_ms >= REDIS_HEADS_WAIT_MS) {
        struct redis_sub *sub = heads->behind[n].sub;
        struct store_known known = known_now(heads, sub);
        if (redis_subs_is_settled(heads->subs, sub) && !knows(&known, &heads->behind[n].found))
            report_behind(heads, sub);
        release_user(heads, sub);
        n++;
    }
    heads->n_behind -= n;
    memmove(heads->behind, heads->behind + n, heads->n_behind * sizeof heads->behind[0]);
}

/* NIL: there is no record, or one of version 1, which the next page rewrites. */
static void take_record(struct redis_heads *heads, struct redis_heads_user *user,
                        const struct redis_value *reply)
{
    struct store_known found = {0};
    struct span packed;
    bool is_read = redis_value_is(reply, REDIS_NIL) ||
                   (redis_value_is(reply, REDIS_TEXT) && redis_value_text(reply, &packed) &&
                    redis_record_head(packed, &found));
    if (!is_read || !redis_subs_is_settled(heads->subs, user->sub))
        return;
    if (is_lost(&user->known, &found))
        redis_subs_report(heads->subs, user->sub);
    else if (!knows(&user->known, &found))
        look_again_later(heads, user, &found);
}

/* The key leaves when the block ends. */
static void take_block(const struct redis_heads *heads, const struct redis_sub *sub,
                       const struct redis_value *reply)
{
    const struct redis_common *common = heads->subs->common;
    if (redis_value_is(reply, REDIS_TEXT) && sub->is_wanted && common->events.on_blocked != NULL)
        common->events.on_blocked(common->owner, redis_sub_user(sub));
}

/* ---- asking ---- */

static void ask_about_due(struct redis_heads *heads);

static void end_asking(struct redis_heads *heads)
{
    for (size_t i = 0; i < heads->n_asked; i++)
        if (heads->asked[i].sub != NULL)
            release_user(heads, heads->asked[i].sub);
    heads->n_asked = 0;
}

/* An error is left to the operations of users, which report it; but for MOVED, because the user's
 * subscription is where his slot was. */
static void on_answer(void *owner, void *arg, size_t index, const struct redis_value *reply)
{
    const struct redis_commands *commands = owner;
    struct redis_heads *heads = arg;
    if (heads->subs == NULL)
        return;
    if (redis_value_is(reply, REDIS_ERROR))
        (void)redis_cluster_redirected(heads->subs->common->cluster, reply->bytes,
                                       &commands->primary->address);
    struct redis_heads_user *user = &heads->asked[index / ASKED];
    if (index % ASKED == ASKED_BLOCK)
        take_block(heads, user->sub, reply);
    else
        take_record(heads, user, reply);
    if (--heads->n_awaited > 0)
        return;
    end_asking(heads);
    ask_about_due(heads);
}

static void ask_redis(struct redis_heads *heads, size_t index, const struct span *args,
                      size_t n_args)
{
    const struct redis_sub *sub = heads->asked[index / ASKED].sub;
    struct redis_call call = {.on_reply = on_answer, .arg = heads, .index = index};
    if (redis_commands_send(&heads->subs->shards[sub->shard]->commands, &call, args, n_args) ==
        ERR_OK)
        heads->n_awaited++;
}

/* The block first: once the record's answer has come, the user may be released. */
static void ask_about(struct redis_heads *heads, struct redis_sub *sub)
{
    size_t i = heads->n_asked++;
    heads->asked[i] = (struct redis_heads_user){sub, known_now(heads, sub)};
    sub->is_compared = true;
    redis_subs_hold(sub);
    struct redis_keys keys;
    redis_keys_write(&keys, heads->subs->common->prefix, redis_sub_user(sub));
    redis_keys_write_block(&keys);
    struct span block[] = {SPAN_LITERAL("GET"), keys.block};
    struct span record[] = {SPAN_LITERAL("HGET"), keys.meta, SPAN_LITERAL("r")};
    ask_redis(heads, i * ASKED + ASKED_BLOCK, block, 2);
    ask_redis(heads, i * ASKED + ASKED_RECORD, record, 3);
}

static bool can_be_asked(const struct redis_heads *heads, const struct redis_sub *sub)
{
    return !sub->is_compared && redis_subs_is_settled(heads->subs, sub);
}

/* false: there is no room for all of the bucket. A bucket with more than there is room for at all
 * is asked about in part. */
static bool ask_about_bucket(struct redis_heads *heads, size_t bucket)
{
    size_t n = 0;
    HASH_TABLE_FOR_EACH_IN(link, &heads->subs->table.users, bucket)
    {
        n += can_be_asked(heads, CONTAINER_OF(link, struct redis_sub, link));
    }
    if (heads->n_asked > 0 && heads->n_asked + n > REDIS_HEADS_AT_ONCE)
        return false;
    HASH_TABLE_FOR_EACH_IN(link, &heads->subs->table.users, bucket)
    {
        struct redis_sub *sub = CONTAINER_OF(link, struct redis_sub, link);
        if (heads->n_asked < REDIS_HEADS_AT_ONCE && can_be_asked(heads, sub))
            ask_about(heads, sub);
    }
    return true;
}

/* A bucket that is not split yet comes at the place of its first half. */
static void ask_about_due(struct redis_heads *heads)
{
    const struct hash_table *users = &heads->subs->table.users;
    uint64_t step = cycle / (2 * users->level);
    while (heads->at < heads->to) {
        size_t bucket = hash_reverse_bits((uint32_t)heads->at);
        if (bucket < users->n_buckets && !ask_about_bucket(heads, bucket))
            break;
        heads->at += step;
    }
    if (heads->n_awaited == 0)
        end_asking(heads); /* nothing could be sent */
}

static void on_tick(struct timer *timer)
{
    struct redis_heads *heads = CONTAINER_OF(timer, struct redis_heads, timer);
    int64_t now_ms = reactor_now_ms(heads->reactor);
    uint64_t passed_ms = (uint64_t)(now_ms - heads->ticked_ms);
    heads->ticked_ms = now_ms;
    heads->to += passed_ms * cycle / REDIS_HEADS_PERIOD_MS;
    if (heads->to > heads->at + cycle)
        heads->to = heads->at + cycle; /* Redis is slow: nobody is asked about twice */
    timer_set(reactor_timers(heads->reactor), &heads->timer, now_ms + REDIS_HEADS_TICK_MS);
    look_again(heads);
    if (heads->n_awaited == 0)
        ask_about_due(heads);
}

/* ---- made and freed ---- */

void redis_heads_init(struct redis_heads *heads, struct redis_subs *subs, struct reactor *reactor)
{
    if (subs->common->events.get_known == NULL)
        return;
    heads->subs = subs;
    heads->reactor = reactor;
    heads->ticked_ms = reactor_now_ms(reactor);
    timer_init(&heads->timer, on_tick);
    timer_set(reactor_timers(reactor), &heads->timer, heads->ticked_ms + REDIS_HEADS_TICK_MS);
}

void redis_heads_fini(struct redis_heads *heads)
{
    if (heads->subs == NULL)
        return;
    timer_cancel(reactor_timers(heads->reactor), &heads->timer);
    end_asking(heads);
    for (size_t i = 0; i < heads->n_behind; i++)
        release_user(heads, heads->behind[i].sub);
    heads->subs = NULL;
}
