/* Redis confirms each SSUBSCRIBE and SUNSUBSCRIBE, in order. A user whose confirmations have all
 * come is settled: subscribed if still wanted, else gone from the table. An HTTP connection right
 * after a leave thus waits for two confirmations, and in whatever order they come, the last request
 * counts.
 */
#include "gateway/stores/redis/redis_subs.h"

#include "gateway/base/clock.h"
#include "gateway/base/hash.h"
#include "gateway/base/log.h"
#include "gateway/base/metrics.h"

#include <stdio.h>
#include <stdlib.h>

struct redis_sub {
    struct hash_link link;
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

static struct redis_sub *sub_of(const struct hash_link *link)
{
    return CONTAINER_OF(link, struct redis_sub, link);
}

static uint64_t sub_hash(const struct hash_link *link)
{
    return sub_of(link)->hash;
}

static bool is_sub_of(const struct redis_sub *sub, struct span user_id, uint32_t hash)
{
    return sub->hash == hash && span_equal(user_of(sub), user_id);
}

static struct redis_sub *find_late_sub(struct redis_subs *subs, struct span user_id, uint32_t hash)
{
    for (struct hash_link *link = subs->late; link != NULL; link = link->next)
        if (is_sub_of(sub_of(link), user_id, hash))
            return sub_of(link);
    return NULL;
}

static struct redis_sub *find_sub(struct redis_subs *subs, struct span user_id)
{
    uint32_t hash = (uint32_t)hash_bytes(user_id);
    HASH_TABLE_FOR_EACH_IN(link, &subs->users, hash_table_bucket(&subs->users, hash))
    {
        if (is_sub_of(sub_of(link), user_id, hash))
            return sub_of(link);
    }
    return find_late_sub(subs, user_id, hash);
}

static struct redis_sub *add_sub(struct redis_subs *subs, struct span user_id)
{
    struct redis_sub *sub = calloc(1, sizeof *sub + user_id.len);
    if (sub == NULL)
        return NULL;
    sub->hash = (uint32_t)hash_bytes(user_id);
    sub->user_len = (uint8_t)user_id.len;
    memcpy(sub->user, user_id.bytes, user_id.len);
    if (subs->is_walking) {
        sub->link.next = subs->late;
        subs->late = &sub->link;
    } else {
        hash_table_add(&subs->users, &sub->link);
    }
    return sub;
}

static void drop_sub(struct redis_subs *subs, struct redis_sub *sub)
{
    hash_table_remove(&subs->users, &sub->link);
    free(sub);
}

static void add_late_subs(struct redis_subs *subs)
{
    while (subs->late != NULL) {
        struct hash_link *link = subs->late;
        subs->late = link->next;
        hash_table_add(&subs->users, link);
    }
}

/* Calls `visit` for every user. What it calls may add users and mark them unwanted: those who are
 * added are not visited, and none is dropped before the end. */
static void visit_subs(struct redis_subs *subs,
                       void (*visit)(struct redis_subs *subs, struct redis_sub *sub))
{
    subs->is_walking = true;
    for (size_t i = 0; i < subs->users.n_buckets; i++) {
        HASH_TABLE_FOR_EACH_IN(link, &subs->users, i)
        {
            visit(subs, sub_of(link));
        }
    }
    subs->is_walking = false;
    add_late_subs(subs);
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
    /* What cannot be sent now is made good when all users are subscribed anew. */
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

static void report_missed(struct redis_subs *subs, struct redis_sub *sub)
{
    if (!sub->is_missed || !sub->is_wanted || sub->awaited > 0 || !subs->can_report)
        return;
    sub->is_missed = false;
    if (subs->common->events.on_missed != NULL)
        subs->common->events.on_missed(subs->common->owner, user_of(sub), true);
}

/* All confirmations have come. The callees only post letters or mark work for the turn's end,
 * except that on_missed may end in redis_subs_leave: so nothing is touched after it. */
static void settle_sub(struct redis_subs *subs, struct redis_sub *sub)
{
    struct store_request *page;
    while ((page = take_waiting(sub)) != NULL)
        subs->on_arrived(subs->owner, page);
    if (!sub->is_wanted)
        drop_sub(subs, sub);
    else
        report_missed(subs, sub);
}

static bool is_settled(const struct redis_subs *subs, const struct redis_sub *sub)
{
    return subs->is_ready && sub->is_wanted && sub->awaited == 0;
}

enum err redis_subs_arrive(struct redis_subs *subs, struct span user_id, struct store_request *page)
{
    struct redis_sub *sub = find_sub(subs, user_id);
    if (sub == NULL)
        sub = add_sub(subs, user_id);
    if (sub == NULL)
        return ERR_NO_MEMORY;
    if (!sub->is_wanted)
        send_wish(subs, sub, true);
    if (!subs->can_report)
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
    struct redis_sub *sub = find_sub(subs, user_id);
    if (sub == NULL || !sub->is_wanted)
        return;
    send_wish(subs, sub, false);
    if (sub->awaited == 0 && !subs->is_walking)
        drop_sub(subs, sub);
}

/* --- what comes in --- */

static void take_confirmation(struct redis_subs *subs, struct redis_sub *sub, bool is_subscribed)
{
    if (sub->awaited > 0) {
        if (--sub->awaited == 0)
            settle_sub(subs, sub);
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

static void become_ready_to_subscribe(struct redis_subs *subs);

static void take_plain(struct redis_subs *subs, struct span kind, struct span channel,
                       const struct redis_value *push)
{
    struct span message;
    bool is_message = span_equal(kind, SPAN_LITERAL("message"));
    if (!is_message && !span_equal(kind, SPAN_LITERAL("smessage")) && subs->awaited > 0) {
        if (--subs->awaited == 0)
            become_ready_to_subscribe(subs);
    } else if (is_message && subs->on_plain != NULL &&
               redis_value_text(redis_value_item(push, 2), &message)) {
        subs->on_plain(subs->owner, channel, message);
    }
}

static void on_subs_push(void *owner, const struct redis_value *push)
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
    struct redis_sub *sub = find_sub(subs, (struct span){user, user_len});
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

static void become_ready_to_subscribe(struct redis_subs *subs)
{
    subs->is_ready = true;
    visit_subs(subs, subscribe_again);
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

static void on_subs_up(void *owner)
{
    struct redis_subs *subs = owner;
    char nobody[REDIS_CHANNELS_MAX_BYTES + 8]; /* in a name two digits follow each `%` */
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
    for (size_t i = 0; i < subs->users.n_buckets; i++) {
        HASH_TABLE_FOR_EACH_IN(link, &subs->users, i)
        {
            struct redis_sub *sub = sub_of(link);
            if (!sub->is_wanted && sub->awaited == 0)
                drop_sub(subs, sub);
        }
    }
}

static void forget_connections(struct redis_subs *subs)
{
    subs->is_ready = false;
    visit_subs(subs, forget_connection);
    drop_unwanted(subs);
}

static void on_subs_down(void *owner, bool was_up, const char *why)
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
    subs->can_report = true;
    visit_subs(subs, report_missed);
    drop_unwanted(subs); /* users who left meanwhile and needed no confirmation */
}

void redis_subs_lane_down(struct redis_subs *subs)
{
    subs->can_report = false;
    visit_subs(subs, mark_missed);
}

void redis_subs_report_all(struct redis_subs *subs)
{
    visit_subs(subs, mark_missed);
    visit_subs(subs, report_missed);
    drop_unwanted(subs);
}

/* --- made and freed --- */

enum err redis_subs_init(struct redis_subs *subs, struct redis_common *common,
                         struct reactor *reactor)
{
    subs->common = common;
    enum err error = hash_table_init(&subs->users, sub_hash);
    if (error != ERR_OK)
        return error;
    struct redis_link_config config = {
        .reactor = reactor,
        .url = &common->url,
        .is_pubsub = true,
        .owner = subs,
        .on_up = on_subs_up,
        .on_down = on_subs_down,
        .on_push = on_subs_push,
    };
    error = redis_link_new(&config, &subs->link);
    if (error != ERR_OK)
        hash_table_fini(&subs->users);
    return error;
}

static void forget_user(struct redis_subs *subs, struct redis_sub *sub)
{
    forget_connection(subs, sub);
    sub->is_wanted = false;
}

void redis_subs_fini(struct redis_subs *subs)
{
    subs->is_ready = false;
    redis_link_free(subs->link);
    visit_subs(subs, forget_user);
    drop_unwanted(subs);
    hash_table_fini(&subs->users);
}
