/* What comes on a subscription link is an answer to the oldest command, or comes by itself: a
 * message, or the end of a subscription that nobody asked for. The latter has the form of an
 * answer, and is told apart by its channel. Where it crosses the command of a user who leaves, it
 * is taken for the answer to that command; the answer proper, which comes later, then finds another
 * user's command the oldest. It is told by its slot, if it is MOVED. Any other breaks the link. */
#include "gateway/stores/redis/redis_sub_link.h"

#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/base/metrics.h"
#include "gateway/stores/redis/redis_cluster.h"
#include "gateway/stores/redis/redis_pipeline.h"

#include <stdio.h>

/* What a command asked for: `index` of what waits for its answer. Its `arg` is the user, or NULL;
 * of a channel of the fleet its place in `plain`. 0: another command, such as PING. */
enum wish { WISH_LEAVE = 1, WISH_SUBSCRIBE, WISH_PLAIN };

/* ---- what comes ---- */

static bool read_push(const struct redis_value *push, struct span *ret_kind,
                      struct span *ret_channel)
{
    return redis_value_is(push, REDIS_ARRAY) &&
           redis_value_text(redis_value_item(push, 0), ret_kind) &&
           redis_value_text(redis_value_item(push, 1), ret_channel);
}

static bool is_message(struct span kind)
{
    return span_equal(kind, SPAN_LITERAL("smessage"));
}

static bool is_of(const struct redis_sub_link *subs, const struct redis_sub *sub,
                  struct span channel)
{
    char user[USER_ID_MAX_BYTES];
    size_t len;
    return redis_channel_user(subs->common->channels, channel, user, &len) &&
           span_equal((struct span){user, len}, redis_sub_user(sub));
}

/* Of the channel that the command names; -1: it names none. */
static int slot_of_wish(const struct redis_waiting *oldest)
{
    if (oldest == NULL || oldest->arg == NULL)
        return -1;
    return oldest->index == WISH_PLAIN ? redis_slot_of(*(const struct span *)oldest->arg)
                                       : redis_slot_of_user(redis_sub_user(oldest->arg));
}

/* Is it of another slot than the oldest command, or does that name no channel? */
static bool is_late_refusal(const struct redis_sub_link *subs, const struct redis_value *reply,
                            const struct redis_waiting *oldest)
{
    uint16_t slot;
    struct redis_address owner;
    return subs->is_ready && redis_value_is(reply, REDIS_ERROR) &&
           redis_value_starts(reply, "MOVED ") &&
           redis_redirect_read(reply->bytes, &subs->primary->address, &slot, &owner) &&
           slot_of_wish(oldest) != slot;
}

/* Comes it by itself? What waits for the oldest answer is NULL if nothing does. */
static bool is_unasked(void *owner, const struct redis_value *push,
                       const struct redis_waiting *oldest)
{
    const struct redis_sub_link *subs = owner;
    struct span kind, channel;
    if (!read_push(push, &kind, &channel))
        return is_late_refusal(subs, push, oldest);
    if (is_message(kind))
        return true;
    if (!span_equal(kind, SPAN_LITERAL("sunsubscribe")))
        return false;
    bool is_answer = oldest != NULL && oldest->index == WISH_LEAVE &&
                     (oldest->arg == NULL || is_of(subs, oldest->arg, channel));
    return !is_answer;
}

/* A channel of the fleet is over here, at least until the next map. */
static void lose_plain(struct redis_sub_link *subs, size_t at)
{
    subs->plain_round[at] = redis_cluster_want(subs->common->cluster);
}

/* One that is not here any more was to end. */
static void end_plain(struct redis_sub_link *subs, struct span channel)
{
    if (subs->common->cluster == NULL)
        redis_link_break(subs->link, "Redis has ended the subscription to all nodes' messages");
    for (size_t at = 0; at < REDIS_PLAIN_CHANNELS; at++)
        if (span_equal(subs->plain[at], channel))
            lose_plain(subs, at);
}

static void on_push(void *owner, const struct redis_value *push)
{
    struct redis_sub_link *subs = owner;
    struct span kind, channel, message;
    char user[USER_ID_MAX_BYTES];
    size_t user_len;
    if (!read_push(push, &kind, &channel)) {
        (void)redis_cluster_redirected(subs->common->cluster, push->bytes, &subs->primary->address);
        return;
    }
    bool is_user = redis_channel_user(subs->common->channels, channel, user, &user_len);
    if (!is_message(kind)) {
        if (is_user)
            subs->on_ended(subs->owner, (struct span){user, user_len});
        else
            end_plain(subs, channel);
        return;
    }
    if (!redis_value_text(redis_value_item(push, 2), &message))
        return;
    subs->heard_ms = reactor_now_ms(subs->reactor);
    if (is_user)
        subs->on_message(subs->owner, (struct span){user, user_len}, message);
    else if (subs->on_plain != NULL)
        subs->on_plain(subs->owner, channel, message);
}

/* The user may leave inside the call that reports the event, and the sub be freed with its copy of
 * the name: user_id is another one. */
void redis_sub_link_report(struct redis_sub_link *subs, const struct redis_sub *sub,
                           struct span user_id, struct span message)
{
    const struct store_events *events = &subs->common->events;
    struct inbox_event event = {0};
    int64_t time_ms;
    if (redis_message_time(message, &time_ms) &&
        !redis_clock_hear(subs->primary->clock, time_ms, clock_monotonic_ms()))
        subs->on_doubt(subs->owner);
    enum err error = redis_message_read(message, &event);
    if (!sub->is_wanted)
        goto out;
    if (error == ERR_NOT_FOUND) {
        if (subs->on_other != NULL)
            subs->on_other(subs->owner, user_id, message);
        return;
    }
    if (error == ERR_STORE_UNAVAILABLE)
        log_event(LOG_DEBUG, "a message on a channel is malformed", LOG_SPAN("user", user_id));
    if (error == ERR_OK) {
        if (events->on_inbox_event != NULL)
            events->on_inbox_event(subs->common->owner, user_id, event);
    } else if (events->on_missed != NULL) {
        events->on_missed(subs->common->owner, user_id, false);
    }
out:
    inbox_event_unref(event);
}

/* ---- wishes ---- */

/* false: the link breaks, because this is neither a confirmation of the wish nor an error. `sub` is
 * whose wish it was; NULL: nobody's. */
static bool check_answer(struct redis_sub_link *subs, const struct redis_sub *sub, enum wish wish,
                         const struct redis_value *reply)
{
    static const char *const kinds[] = {
        [WISH_LEAVE] = "sunsubscribe",
        [WISH_SUBSCRIBE] = "ssubscribe",
        [WISH_PLAIN] = "ssubscribe",
    };
    struct span kind, channel;
    if (redis_value_is(reply, REDIS_ERROR))
        return true;
    bool is_fine = read_push(reply, &kind, &channel) && span_equal(kind, span_of(kinds[wish])) &&
                   (sub == NULL || is_of(subs, sub, channel));
    if (!is_fine)
        redis_link_break(subs->link, "a message of Redis is malformed");
    return is_fine;
}

static void on_wish_answered(void *owner, void *arg, size_t index, const struct redis_value *reply)
{
    struct redis_sub_link *subs = owner;
    struct redis_sub *sub = arg;
    if (reply == NULL || !subs->is_ready || !check_answer(subs, sub, (enum wish)index, reply))
        return; /* the link is lost, and with it the wishes */
    sub->awaited--;
    subs->on_answer(subs->owner, sub, redis_value_is(reply, REDIS_ERROR) ? reply->bytes : NULL);
}

void redis_sub_link_send_wish(struct redis_sub_link *subs, struct redis_sub *sub)
{
    struct redis_keys keys;
    redis_keys_write(&keys, subs->common->prefix, redis_sub_user(sub));
    redis_keys_write_channel(&keys, subs->common->channels);
    enum wish wish = sub->is_wanted ? WISH_SUBSCRIBE : WISH_LEAVE;
    struct span args[] = {
        sub->is_wanted ? SPAN_LITERAL("SSUBSCRIBE") : SPAN_LITERAL("SUNSUBSCRIBE"), keys.channel};
    /* What cannot be sent now is made good when all users are subscribed anew. */
    if (redis_link_command(subs->link, args, 2, on_wish_answered, sub, wish) == ERR_OK)
        sub->awaited++;
    else
        redis_link_break(subs->link, "too many subscriptions wait to be sent");
}

/* ---- it comes and goes ---- */

static const char *why_refused(const struct redis_sub_link *subs, const struct redis_value *reply)
{
    struct redis_cluster *cluster = subs->common->cluster;
    if (redis_cluster_redirected(cluster, reply->bytes, &subs->primary->address))
        return "the Cluster's slots have moved";
    bool is_cluster =
        redis_value_starts(reply, "MOVED") || redis_value_starts(reply, "CLUSTERDOWN");
    return is_cluster && cluster == NULL ? REDIS_WHY_CLUSTER : reply->bytes;
}

/* One of the first commands was answered. */
static void count_first(struct redis_sub_link *subs)
{
    if (--subs->awaited > 0)
        return;
    subs->is_ready = true;
    subs->ready_ms = reactor_now_ms(subs->reactor);
    subs->heard_ms = reactor_now_ms(subs->reactor);
    subs->on_ready(subs->owner);
}

static void on_first_answered(void *owner, void *arg, size_t index, const struct redis_value *reply)
{
    (void)arg;
    struct redis_sub_link *subs = owner;
    if (reply == NULL || !redis_link_is_up(subs->link) ||
        !check_answer(subs, NULL, (enum wish)index, reply))
        return;
    if (redis_value_is(reply, REDIS_ERROR)) {
        redis_link_break(subs->link, why_refused(subs, reply));
        return;
    }
    count_first(subs);
}

/* Its slot is elsewhere, or nobody's: the next map says more. */
static bool is_of_map(const struct redis_sub_link *subs, const struct redis_value *reply)
{
    struct redis_cluster *cluster = subs->common->cluster;
    return cluster != NULL &&
           (redis_cluster_redirected(cluster, reply->bytes, &subs->primary->address) ||
            redis_value_starts(reply, "CLUSTERDOWN"));
}

static void on_plain_answered(void *owner, void *arg, size_t index, const struct redis_value *reply)
{
    struct redis_sub_link *subs = owner;
    if (reply == NULL || !redis_link_is_up(subs->link) ||
        !check_answer(subs, NULL, (enum wish)index, reply))
        return;
    if (redis_value_is(reply, REDIS_ERROR) && !is_of_map(subs, reply)) {
        redis_link_break(subs->link, why_refused(subs, reply));
        return;
    }
    if (redis_value_is(reply, REDIS_ERROR))
        lose_plain(subs, (size_t)((const struct span *)arg - subs->plain));
    if (!subs->is_ready)
        count_first(subs);
}

static void send_plain(struct redis_sub_link *subs, size_t at)
{
    struct span args[] = {SPAN_LITERAL("SSUBSCRIBE"), subs->plain[at]};
    subs->plain_round[at] = 0;
    if (redis_link_command(subs->link, args, 2, on_plain_answered, &subs->plain[at], WISH_PLAIN) !=
        ERR_OK)
        redis_link_break(subs->link, "out of memory");
}

static void send_first(struct redis_sub_link *subs, struct span command, enum wish wish,
                       struct span channel)
{
    struct span args[] = {command, channel};
    subs->awaited++;
    if (redis_link_command(subs->link, args, 2, on_first_answered, NULL, wish) != ERR_OK)
        redis_link_break(subs->link, "out of memory");
}

/* Who may not ask is let in. */
static void on_info(void *owner, void *arg, size_t index, const struct redis_value *reply)
{
    struct redis_sub_link *subs = owner;
    (void)arg;
    (void)index;
    redis_run_id_read(reply, &subs->run_id);
}

static void ask_run_id(struct redis_sub_link *subs)
{
    struct span info[] = {SPAN_LITERAL("INFO"), SPAN_LITERAL("server")};
    if (redis_link_command(subs->link, info, 2, on_info, NULL, 0) != ERR_OK)
        redis_link_break(subs->link, "out of memory");
}

static void on_link_up(void *owner)
{
    struct redis_sub_link *subs = owner;
    char nobody[REDIS_CHANNELS_MAX_BYTES + 24];
    ask_run_id(subs);
    snprintf(nobody, sizeof nobody, "%s:{%s}", subs->common->channels, subs->nobody);
    subs->awaited = 0;
    send_first(subs, SPAN_LITERAL("SSUBSCRIBE"), WISH_SUBSCRIBE, span_of(nobody));
    send_first(subs, SPAN_LITERAL("SUNSUBSCRIBE"), WISH_LEAVE, span_of(nobody));
    for (size_t i = 0; i < REDIS_PLAIN_CHANNELS; i++) {
        if (subs->plain[i].len == 0)
            continue;
        subs->awaited++;
        send_plain(subs, i);
    }
}

static void lose_it(struct redis_sub_link *subs)
{
    if (!subs->is_ready)
        return;
    subs->is_ready = false;
    subs->on_lost(subs->owner);
}

static void on_link_down(void *owner, bool was_up, const char *why)
{
    struct redis_sub_link *subs = owner;
    if (was_up)
        metrics_count(METRIC_STORE_RECONNECTS);
    redis_primary_away(subs->primary, why);
    redis_cluster_want(subs->common->cluster);
    lose_it(subs);
}

void redis_sub_link_restart(struct redis_sub_link *subs, const char *why)
{
    lose_it(subs);
    redis_link_break(subs->link, why);
}

void redis_sub_link_set_plain(struct redis_sub_link *subs, size_t at, struct span channel)
{
    if (span_equal(subs->plain[at], channel))
        return;
    subs->plain[at] = channel;
    subs->plain_round[at] = 0;
    if (channel.len == 0 || !redis_link_is_up(subs->link))
        return;
    if (subs->is_ready)
        send_plain(subs, at);
    else
        redis_link_break(subs->link,
                         "the Cluster's slots have moved"); /* it begins with this one */
}

void redis_sub_link_know_map(struct redis_sub_link *subs, uint64_t round)
{
    for (size_t at = 0; at < REDIS_PLAIN_CHANNELS; at++)
        if (subs->plain_round[at] != 0 && subs->plain_round[at] <= round && subs->is_ready &&
            subs->plain[at].len > 0)
            send_plain(subs, at);
}

/* ---- made and freed ---- */

enum err redis_sub_link_init(struct redis_sub_link *subs, struct redis_common *common,
                             struct reactor *reactor)
{
    subs->common = common;
    subs->reactor = reactor;
    if (subs->primary == NULL)
        return ERR_OK;
    struct redis_link_config config = {
        .kind = REDIS_LINK_OF_SUBSCRIPTIONS,
        .reactor = reactor,
        .url = &common->url,
        .address = redis_primary_address(subs->primary),
        .resolver = subs->resolver,
        .tls = common->tls,
        .tls_name = redis_common_tls_name(common),
        .client_name = common->client_name,
        .is_pubsub = true,
        .owner = subs,
        .on_up = on_link_up,
        .on_down = on_link_down,
        .is_push = is_unasked,
        .on_push = on_push,
    };
    return redis_link_new(&config, &subs->link);
}

void redis_sub_link_fini(struct redis_sub_link *subs)
{
    subs->is_ready = false;
    redis_link_free(subs->link);
    subs->link = NULL;
}
