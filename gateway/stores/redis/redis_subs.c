/* Redis confirms each SSUBSCRIBE and SUNSUBSCRIBE, in order. A user whose confirmations have all
 * come is settled: subscribed if still wanted, else gone from the table. An HTTP connection right
 * behind a leave thus waits for two confirmations, and whatever the order of the two, the last wish
 * stands.
 */
#include "gateway/stores/redis/redis_subs.h"

#include "gateway/base/clock.h"
#include "gateway/base/hash.h"
#include "gateway/base/log.h"
#include "gateway/base/metrics.h"

#include <stdio.h>
#include <stdlib.h>

enum { FIRST_BUCKETS = 64 };

struct redis_sub {
    struct redis_sub *next;
    struct store_request *waiting; /* pages, the oldest first */
    uint32_t hash;
    uint32_t awaited; /* confirmations on the present connection */
    bool is_wanted;
    bool is_missed; /* on_missed is owed */
    uint8_t user_len;
    char user[];
};

static struct span user_of(const struct redis_sub *sub)
{
    return (struct span){sub->user, sub->user_len};
}

/* --- the table --- */

static struct redis_sub **find(struct redis_subs *subs, struct span user_id, uint32_t hash)
{
    struct redis_sub **at = &subs->table[hash & (subs->n_buckets - 1)];
    while (*at != NULL && ((*at)->hash != hash || !span_equal(user_of(*at), user_id)))
        at = &(*at)->next;
    return at;
}

static struct redis_sub *look_up(struct redis_subs *subs, struct span user_id)
{
    return *find(subs, user_id, (uint32_t)hash_bytes(user_id));
}

/* Longer chains are slower, not wrong: without memory the table stays as it is. */
static void grow(struct redis_subs *subs)
{
    if (subs->is_walking || subs->n_users < subs->n_buckets)
        return;
    size_t n_buckets = subs->n_buckets * 2;
    struct redis_sub **table = calloc(n_buckets, sizeof(struct redis_sub *));
    if (table == NULL)
        return;
    for (size_t i = 0; i < subs->n_buckets; i++) {
        struct redis_sub *next;
        for (struct redis_sub *sub = subs->table[i]; sub != NULL; sub = next) {
            struct redis_sub **bucket = &table[sub->hash & (n_buckets - 1)];
            next = sub->next;
            sub->next = *bucket;
            *bucket = sub;
        }
    }
    free(subs->table);
    subs->table = table;
    subs->n_buckets = n_buckets;
}

static struct redis_sub *add(struct redis_subs *subs, struct span user_id)
{
    struct redis_sub *sub = calloc(1, sizeof *sub + user_id.len);
    if (sub == NULL)
        return NULL;
    sub->hash = (uint32_t)hash_bytes(user_id);
    sub->user_len = (uint8_t)user_id.len;
    memcpy(sub->user, user_id.bytes, user_id.len);
    grow(subs);
    struct redis_sub **bucket = &subs->table[sub->hash & (subs->n_buckets - 1)];
    sub->next = *bucket;
    *bucket = sub;
    subs->n_users++;
    return sub;
}

static void drop(struct redis_subs *subs, struct redis_sub *sub)
{
    *find(subs, user_of(sub), sub->hash) = sub->next;
    subs->n_users--;
    free(sub);
}

/* Calls for every user. Whatever `visit` calls may add users, but none goes until the end. */
static void walk(struct redis_subs *subs,
                 void (*visit)(struct redis_subs *subs, struct redis_sub *sub))
{
    subs->is_walking = true;
    for (size_t i = 0; i < subs->n_buckets; i++)
        for (struct redis_sub *sub = subs->table[i]; sub != NULL; sub = sub->next)
            visit(subs, sub);
    subs->is_walking = false;
}

/* --- one user --- */

static void send_wish(struct redis_subs *subs, struct redis_sub *sub, bool is_wanted)
{
    sub->is_wanted = is_wanted;
    if (!subs->is_ready)
        return;
    struct redis_keys keys;
    redis_keys_write(&keys, subs->common->prefix, user_of(sub));
    redis_keys_write_channel(&keys, subs->common->channels);
    struct span args[] = {is_wanted ? SPAN_LITERAL("SSUBSCRIBE") : SPAN_LITERAL("SUNSUBSCRIBE"),
                          keys.channel};
    /* What cannot be said now is said by subscribing everybody anew. */
    if (redis_link_command(subs->link, args, 2, NULL, NULL, 0) == ERR_OK)
        sub->awaited++;
    else
        redis_link_break(subs->link, "too many subscriptions wait to be sent");
}

static struct store_request *take_waiting(struct redis_sub *sub)
{
    struct store_request *first = sub->waiting;
    if (first != NULL)
        sub->waiting = first->next;
    return first;
}

static void tell_missed(struct redis_subs *subs, struct redis_sub *sub)
{
    if (!sub->is_missed || !sub->is_wanted || sub->awaited > 0 || !subs->can_tell)
        return;
    sub->is_missed = false;
    if (subs->common->events.on_missed != NULL)
        subs->common->events.on_missed(subs->common->owner, user_of(sub), true);
}

/* All confirmations have come. The callees only post letters or mark work for the turn's end,
 * except that on_missed may end in redis_subs_leave: so nothing is touched behind it. */
static void settle(struct redis_subs *subs, struct redis_sub *sub)
{
    struct store_request *page;
    while ((page = take_waiting(sub)) != NULL)
        subs->on_arrived(subs->owner, page);
    if (!sub->is_wanted)
        drop(subs, sub);
    else
        tell_missed(subs, sub);
}

static bool is_settled(const struct redis_subs *subs, const struct redis_sub *sub)
{
    return subs->is_ready && sub->is_wanted && sub->awaited == 0;
}

enum err redis_subs_arrive(struct redis_subs *subs, struct span user_id, struct store_request *page)
{
    struct redis_sub *sub = look_up(subs, user_id);
    if (sub == NULL)
        sub = add(subs, user_id);
    if (sub == NULL)
        return ERR_NO_MEMORY;
    if (!sub->is_wanted)
        send_wish(subs, sub, true);
    if (!subs->can_tell)
        sub->is_missed = true; /* this page will fail */
    if (!subs->is_ready)
        return ERR_STORE_UNAVAILABLE;
    if (is_settled(subs, sub)) {
        subs->on_arrived(subs->owner, page);
        return ERR_OK;
    }
    page->next = NULL;
    struct store_request **last = &sub->waiting;
    while (*last != NULL)
        last = &(*last)->next;
    *last = page;
    return ERR_OK;
}

void redis_subs_leave(struct redis_subs *subs, struct span user_id)
{
    struct redis_sub *sub = look_up(subs, user_id);
    if (sub == NULL || !sub->is_wanted)
        return;
    send_wish(subs, sub, false);
    if (sub->awaited == 0 && !subs->is_walking)
        drop(subs, sub);
}

/* --- what comes in --- */

static void take_confirmation(struct redis_subs *subs, struct redis_sub *sub, bool is_subscribed)
{
    if (sub->awaited > 0) {
        if (--sub->awaited == 0)
            settle(subs, sub);
    } else if (!is_subscribed && sub->is_wanted) {
        sub->is_missed = true; /* Redis ended it by itself */
        send_wish(subs, sub, true);
    }
}

static void take_message(struct redis_subs *subs, struct redis_sub *sub, struct span message)
{
    const struct store_events *events = &subs->common->events;
    struct inbox_event event = {0};
    int64_t time_ms;
    if (redis_message_time(message, &time_ms))
        redis_clock_hear(&subs->common->clock, time_ms, clock_monotonic_ms());
    enum err error = redis_message_read(message, &event);
    if (error == ERR_NOT_FOUND || !sub->is_wanted)
        goto out;
    if (error == ERR_STORE_UNAVAILABLE)
        log_event(LOG_DEBUG, "a message on a channel is malformed", LOG_SPAN("user", user_of(sub)));
    if (error == ERR_OK) {
        if (events->on_inbox_event != NULL)
            events->on_inbox_event(subs->common->owner, user_of(sub), event);
    } else if (events->on_missed != NULL) {
        events->on_missed(subs->common->owner, user_of(sub), false);
    }
out:
    inbox_event_unref(event);
}

static void become_ready(struct redis_subs *subs);

static void take_plain(struct redis_subs *subs, struct span kind, struct span channel,
                       const struct redis_value *push)
{
    struct span message;
    bool is_message = span_equal(kind, SPAN_LITERAL("message"));
    if (!is_message && !span_equal(kind, SPAN_LITERAL("smessage")) && subs->awaited > 0) {
        if (--subs->awaited == 0)
            become_ready(subs);
    } else if (is_message && subs->on_plain != NULL &&
               redis_value_text(redis_value_item(push, 2), &message)) {
        subs->on_plain(subs->owner, channel, message);
    }
}

static void on_push(void *owner, const struct redis_value *push)
{
    struct redis_subs *subs = owner;
    struct span kind, channel, message;
    char user[USER_ID_MAX_BYTES];
    size_t user_len;
    if (!redis_value_text(redis_value_item(push, 0), &kind) ||
        !redis_value_text(redis_value_item(push, 1), &channel))
        return; /* a pong */
    if (!redis_channel_user(subs->common->channels, channel, user, &user_len)) {
        take_plain(subs, kind, channel, push);
        return;
    }
    struct redis_sub *sub = look_up(subs, (struct span){user, user_len});
    if (sub == NULL)
        return;
    if (span_equal(kind, SPAN_LITERAL("ssubscribe")))
        take_confirmation(subs, sub, true);
    else if (span_equal(kind, SPAN_LITERAL("sunsubscribe")))
        take_confirmation(subs, sub, false);
    else if (span_equal(kind, SPAN_LITERAL("smessage")) &&
             redis_value_text(redis_value_item(push, 2), &message))
        take_message(subs, sub, message);
}

/* --- the link comes and goes --- */

static void subscribe_again(struct redis_subs *subs, struct redis_sub *sub)
{
    sub->is_missed = true;
    if (sub->is_wanted && redis_link_is_up(subs->link))
        send_wish(subs, sub, true);
}

static void become_ready(struct redis_subs *subs)
{
    subs->is_ready = true;
    walk(subs, subscribe_again);
    if (!redis_link_is_up(subs->link))
        return;
    redis_link_accept(subs->link);
    subs->on_ready(subs->owner);
}

static void send_first(struct redis_subs *subs, struct span command, struct span channel)
{
    struct span args[] = {command, channel};
    subs->awaited++;
    if (redis_link_command(subs->link, args, 2, NULL, NULL, 0) != ERR_OK)
        redis_link_break(subs->link, "out of memory");
}

static void on_up(void *owner)
{
    struct redis_subs *subs = owner;
    char nobody[REDIS_CHANNELS_MAX_BYTES + 8]; /* `%` stands in a name only before two digits */
    snprintf(nobody, sizeof nobody, "%s:{%%}", subs->common->channels);
    subs->awaited = 0;
    send_first(subs, SPAN_LITERAL("SSUBSCRIBE"), span_of(nobody));
    send_first(subs, SPAN_LITERAL("SUNSUBSCRIBE"), span_of(nobody));
    for (size_t i = 0; i < REDIS_PLAIN_CHANNELS; i++)
        if (subs->plain[i].len > 0)
            send_first(subs, SPAN_LITERAL("SUBSCRIBE"), subs->plain[i]);
}

static void forget_connection(struct redis_subs *subs, struct redis_sub *sub)
{
    struct store_request *page;
    sub->awaited = 0;
    sub->is_missed = true;
    while ((page = take_waiting(sub)) != NULL)
        subs->on_refused(subs->owner, page);
}

static void drop_unwanted(struct redis_subs *subs)
{
    for (size_t i = 0; i < subs->n_buckets; i++) {
        struct redis_sub **at = &subs->table[i];
        while (*at != NULL) {
            struct redis_sub *sub = *at;
            if (sub->is_wanted || sub->awaited > 0) {
                at = &sub->next;
                continue;
            }
            *at = sub->next;
            subs->n_users--;
            free(sub);
        }
    }
}

static void forget_connections(struct redis_subs *subs)
{
    subs->is_ready = false;
    walk(subs, forget_connection);
    drop_unwanted(subs);
}

static void on_down(void *owner, bool was_up, const char *why)
{
    struct redis_subs *subs = owner;
    if (was_up)
        metrics_count(METRIC_STORE_RECONNECTS);
    bool was_ready = subs->is_ready;
    redis_common_away(subs->common, why);
    if (!was_ready)
        return;
    forget_connections(subs);
    subs->on_lost(subs->owner);
}

void redis_subs_restart(struct redis_subs *subs, const char *why)
{
    if (subs->is_ready)
        forget_connections(subs);
    redis_link_break(subs->link, why);
}

static void mark_missed(struct redis_subs *subs, struct redis_sub *sub)
{
    (void)subs;
    sub->is_missed = true;
}

void redis_subs_lane_up(struct redis_subs *subs)
{
    subs->can_tell = true;
    walk(subs, tell_missed);
    drop_unwanted(subs); /* who left meanwhile and needed no confirmation */
}

void redis_subs_lane_down(struct redis_subs *subs)
{
    subs->can_tell = false;
    walk(subs, mark_missed);
}

void redis_subs_tell_all(struct redis_subs *subs)
{
    walk(subs, mark_missed);
    walk(subs, tell_missed);
    drop_unwanted(subs);
}

/* --- made and freed --- */

enum err redis_subs_init(struct redis_subs *subs, struct redis_common *common,
                         struct reactor *reactor)
{
    subs->common = common;
    subs->n_buckets = FIRST_BUCKETS;
    subs->table = calloc(subs->n_buckets, sizeof(struct redis_sub *));
    if (subs->table == NULL)
        return ERR_NO_MEMORY;
    struct redis_link_config config = {
        .reactor = reactor,
        .url = &common->url,
        .is_pubsub = true,
        .owner = subs,
        .on_up = on_up,
        .on_down = on_down,
        .on_push = on_push,
    };
    enum err error = redis_link_new(&config, &subs->link);
    if (error != ERR_OK) {
        free(subs->table);
        subs->table = NULL;
    }
    return error;
}

static void forget_user(struct redis_subs *subs, struct redis_sub *sub)
{
    forget_connection(subs, sub);
    sub->is_wanted = false;
}

void redis_subs_fini(struct redis_subs *subs)
{
    if (subs->table == NULL)
        return;
    subs->is_ready = false;
    redis_link_free(subs->link);
    walk(subs, forget_user);
    drop_unwanted(subs);
    free(subs->table);
    subs->table = NULL;
}
