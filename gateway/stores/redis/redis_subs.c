/* Redis confirms each wish, in order. A user whose confirmations have all come is settled:
 * subscribed if still wanted, else gone from the table. An HTTP connection right
 * after a leave thus waits for two confirmations, and in whatever order they come, the last request
 * counts.
 */
#include "gateway/stores/redis/redis_subs.h"

#include "gateway/base/clock.h"
#include "gateway/base/hash.h"
#include "gateway/base/log.h"
#include "gateway/base/metrics.h"

#include <stdlib.h>

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
    return sub->hash == hash && span_equal(redis_sub_user(sub), user_id);
}

static struct redis_sub *find_late_sub(struct redis_subs *subs, struct span user_id, uint32_t hash)
{
    for (struct hash_link *link = subs->late; link != NULL; link = link->next)
        if (is_sub_of(sub_of(link), user_id, hash))
            return sub_of(link);
    return NULL;
}

/* The low half has chosen the lane already. */
static uint32_t hash_user(struct span user_id)
{
    return (uint32_t)(hash_bytes(user_id) >> 32);
}

static struct redis_sub *find_sub(struct redis_subs *subs, struct span user_id)
{
    uint32_t hash = hash_user(user_id);
    HASH_TABLE_FOR_EACH_IN(link, &subs->users, hash_table_bucket(&subs->users, hash))
    {
        if (is_sub_of(sub_of(link), user_id, hash))
            return sub_of(link);
    }
    return find_late_sub(subs, user_id, hash);
}

static struct redis_sub *add_sub(struct redis_subs *subs, const struct redis_shard *shard,
                                 struct span user_id)
{
    struct redis_sub *sub = calloc(1, sizeof *sub + user_id.len);
    if (sub == NULL)
        return NULL;
    sub->hash = hash_user(user_id);
    sub->shard = shard->index;
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

/* Unless he is wanted, or something still points at him. */
static void drop_if_unwanted(struct redis_subs *subs, struct redis_sub *sub)
{
    if (sub->is_wanted || sub->awaited > 0 || sub->is_retrying || sub->n_held > 0)
        return;
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

/* Calls `visit` for every user of the shard. What it calls may add users and mark them unwanted:
 * those who are added are not visited, and none is dropped before the end. */
static void visit_subs(struct redis_subs *subs, const struct redis_shard *shard,
                       void (*visit)(struct redis_subs *subs, struct redis_sub *sub))
{
    subs->is_walking = true;
    for (size_t i = 0; i < subs->users.n_buckets; i++) {
        HASH_TABLE_FOR_EACH_IN(link, &subs->users, i)
        {
            if (sub_of(link)->shard == shard->index)
                visit(subs, sub_of(link));
        }
    }
    subs->is_walking = false;
    add_late_subs(subs);
}

/* --- one user --- */

static struct redis_shard *shard_of(const struct redis_subs *subs, const struct redis_sub *sub)
{
    return subs->shards[sub->shard];
}

static void send_wish(struct redis_subs *subs, struct redis_sub *sub, bool is_wanted)
{
    struct redis_sub_link *sub_link = &shard_of(subs, sub)->sub_link;
    sub->is_wanted = is_wanted;
    sub->is_steady = false;
    if (sub_link->is_ready)
        redis_sub_link_send_wish(sub_link, sub);
}

static void set_held(struct redis_sub *sub, bool is_held)
{
    if (sub->is_held != is_held)
        metrics_gauge_add(METRIC_STORE_SUBSCRIPTIONS, is_held ? 1 : -1);
    sub->is_held = is_held;
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
    if (!sub->is_missed || !sub->is_wanted || sub->awaited > 0 || sub->is_refused ||
        !shard_of(subs, sub)->is_up)
        return;
    sub->is_missed = false;
    if (subs->common->events.on_missed != NULL)
        subs->common->events.on_missed(subs->common->owner, redis_sub_user(sub), true);
}

/* All confirmations have come. The callees only post letters or mark work for the turn's end,
 * except that on_missed may end in redis_subs_leave: so nothing is touched after it. */
static void settle_sub(struct redis_subs *subs, struct redis_sub *sub)
{
    struct store_request *page;
    while ((page = take_waiting(sub)) != NULL)
        subs->on_arrived(subs->owner, page);
    if (!sub->is_wanted)
        drop_if_unwanted(subs, sub);
    else
        report_missed(subs, sub);
}

static void refuse_waiting(struct redis_subs *subs, struct redis_sub *sub)
{
    struct store_request *page;
    while ((page = take_waiting(sub)) != NULL)
        subs->on_refused(subs->owner, page);
}

enum err redis_subs_arrive(struct redis_subs *subs, struct redis_shard *shard, struct span user_id,
                           struct store_request *page)
{
    struct redis_sub *sub = find_sub(subs, user_id);
    if (sub == NULL)
        sub = add_sub(subs, shard, user_id);
    if (sub == NULL)
        return ERR_NO_MEMORY;
    if (!sub->is_wanted)
        send_wish(subs, sub, true);
    if (!shard->is_up)
        sub->is_missed = true; /* this page will fail */
    if (!shard->sub_link.is_ready || sub->is_late)
        return ERR_STORE_UNAVAILABLE;
    if (sub->awaited == 0 && !sub->is_refused) {
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
    if (!subs->is_walking)
        drop_if_unwanted(subs, sub);
}

/* --- refused subscriptions --- */

struct redis_retry {
    struct list link;
    struct timer timer;
    struct redis_subs *subs;
    struct redis_sub *sub;
    int64_t since_ms; /* the first refusal */
    int64_t pause_ms; /* the next one */
    int64_t max_pause_ms;
};

static struct reactor *reactor_of(const struct redis_retry *retry)
{
    return shard_of(retry->subs, retry->sub)->commands.reactor;
}

/* The random half keeps the users of a slot from knocking at once. */
static void pause_retry(struct redis_retry *retry)
{
    struct reactor *reactor = reactor_of(retry);
    uint32_t random = retry->sub->hash * 2654435761u ^ (uint32_t)reactor_now_ms(reactor);
    int64_t half_ms = retry->pause_ms / 2;
    timer_set(reactor_timers(reactor), &retry->timer,
              reactor_now_ms(reactor) + half_ms + (int64_t)(random % (uint32_t)(half_ms + 1)));
    retry->pause_ms =
        retry->pause_ms * 2 < retry->max_pause_ms ? retry->pause_ms * 2 : retry->max_pause_ms;
}

static void end_retry(struct redis_retry *retry)
{
    struct redis_sub *sub = retry->sub;
    timer_cancel(reactor_timers(reactor_of(retry)), &retry->timer);
    list_remove(&retry->link);
    sub->is_retrying = false;
    sub->is_late = false;
    drop_if_unwanted(retry->subs, sub);
    free(retry);
}

static void on_retry_due(struct timer *timer)
{
    struct redis_retry *retry = CONTAINER_OF(timer, struct redis_retry, timer);
    struct redis_sub *sub = retry->sub;
    if (sub->awaited == 0 && !sub->is_refused) {
        end_retry(retry); /* subscribed, gone, or the link is away and begins anew */
        return;
    }
    if (sub->awaited == 0) {
        sub->is_refused = false;
        send_wish(retry->subs, sub, true);
    }
    sub->is_late = reactor_now_ms(reactor_of(retry)) - retry->since_ms >= REDIS_WISH_MS;
    if (sub->is_late)
        refuse_waiting(retry->subs, sub);
    pause_retry(retry);
}

enum {
    SLOT_MOVES_PAUSE_MS = 5,
    SLOT_MOVES_MAX_PAUSE_MS = 100,
    REFUSED_PAUSE_MS = 50,
    REFUSED_MAX_PAUSE_MS = 5000,
};

/* false: no memory. */
static bool begin_retry(struct redis_subs *subs, struct redis_sub *sub, const char *error)
{
    static const char slot_moves[] = "TRYAGAIN";
    struct redis_retry *retry = calloc(1, sizeof *retry);
    if (retry == NULL)
        return false;
    bool is_moving = strncmp(error, slot_moves, sizeof slot_moves - 1) == 0;
    retry->subs = subs;
    retry->sub = sub;
    retry->since_ms = reactor_now_ms(reactor_of(retry));
    retry->pause_ms = is_moving ? SLOT_MOVES_PAUSE_MS : REFUSED_PAUSE_MS;
    retry->max_pause_ms = is_moving ? SLOT_MOVES_MAX_PAUSE_MS : REFUSED_MAX_PAUSE_MS;
    timer_init(&retry->timer, on_retry_due);
    list_append(&subs->retries, &retry->link);
    sub->is_retrying = true;
    pause_retry(retry);
    return true;
}

/* --- what comes in --- */

static void take_refusal(struct redis_shard *shard, struct redis_sub *sub, const char *error)
{
    redis_common_refused_one(shard->subs->common, error);
    sub->is_refused = true;
    sub->is_missed = true;
    if (!sub->is_retrying && !begin_retry(shard->subs, sub, error))
        redis_link_break(shard->sub_link.link, "out of memory");
}

/* With a wish behind it, the answer to that one counts. */
static void on_answer(void *owner, struct redis_sub *sub, const char *error)
{
    struct redis_shard *shard = owner;
    if (sub->awaited > 0)
        return;
    set_held(sub, error == NULL && sub->is_wanted);
    if (error != NULL && sub->is_wanted) {
        take_refusal(shard, sub, error);
        return;
    }
    sub->is_refused = false;
    sub->is_late = false;
    settle_sub(shard->subs, sub);
}

static void on_ended(void *owner, struct span user_id)
{
    struct redis_shard *shard = owner;
    struct redis_sub *sub = find_sub(shard->subs, user_id);
    if (sub == NULL || !sub->is_wanted || sub->awaited > 0 || sub->is_refused)
        return;
    set_held(sub, false);
    sub->is_missed = true;
    send_wish(shard->subs, sub, true);
}

/* The user may leave inside the call that reports the event, and the sub be freed with its copy of
 * the name: user_id is another one. */
static void take_message(struct redis_subs *subs, const struct redis_sub *sub, struct span user_id,
                         struct span message)
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

static void on_message(void *owner, struct span user_id, struct span message)
{
    struct redis_shard *shard = owner;
    struct redis_sub *sub = find_sub(shard->subs, user_id);
    if (sub != NULL)
        take_message(shard->subs, sub, user_id, message);
}

/* --- a link comes and goes --- */

static void subscribe_again(struct redis_subs *subs, struct redis_sub *sub)
{
    sub->is_missed = true;
    if (sub->is_wanted && redis_link_is_up(shard_of(subs, sub)->sub_link.link))
        send_wish(subs, sub, true);
}

static void on_link_ready(void *owner)
{
    struct redis_shard *shard = owner;
    visit_subs(shard->subs, shard, subscribe_again);
    if (!redis_link_is_up(shard->sub_link.link))
        return;
    redis_link_accept(shard->sub_link.link);
    redis_shard_review(shard);
}

static void forget_connection(struct redis_subs *subs, struct redis_sub *sub)
{
    set_held(sub, false);
    sub->awaited = 0;
    sub->is_refused = false;
    sub->is_missed = true;
    refuse_waiting(subs, sub);
}

static void drop_unwanted(struct redis_subs *subs)
{
    for (size_t i = 0; i < subs->users.n_buckets; i++) {
        HASH_TABLE_FOR_EACH_IN(link, &subs->users, i)
        {
            drop_if_unwanted(subs, sub_of(link));
        }
    }
}

static void on_link_lost(void *owner)
{
    struct redis_shard *shard = owner;
    visit_subs(shard->subs, shard, forget_connection);
    drop_unwanted(shard->subs);
    redis_shard_review(shard);
}

static void mark_missed(struct redis_subs *subs, struct redis_sub *sub)
{
    (void)subs;
    sub->is_missed = true;
}

void redis_subs_shard_up(struct redis_subs *subs, struct redis_shard *shard)
{
    visit_subs(subs, shard, report_missed);
    drop_unwanted(subs); /* users who left meanwhile and needed no confirmation */
}

void redis_subs_shard_down(struct redis_subs *subs, struct redis_shard *shard)
{
    visit_subs(subs, shard, mark_missed);
}

void redis_subs_report_all(struct redis_subs *subs, struct redis_shard *shard)
{
    visit_subs(subs, shard, mark_missed);
    visit_subs(subs, shard, report_missed);
    drop_unwanted(subs);
}

/* --- one user, for others --- */

bool redis_subs_is_settled(const struct redis_subs *subs, const struct redis_sub *sub)
{
    return sub->is_wanted && sub->awaited == 0 && !sub->is_refused && !sub->is_missed &&
           shard_of(subs, sub)->is_up;
}

void redis_subs_report(struct redis_subs *subs, struct redis_sub *sub)
{
    sub->is_missed = true;
    report_missed(subs, sub);
}

void redis_subs_release(struct redis_subs *subs, struct redis_sub *sub)
{
    sub->n_held--;
    drop_if_unwanted(subs, sub);
}

/* --- made and freed --- */

void redis_subs_attach(struct redis_subs *subs, struct redis_shard *shard)
{
    subs->shards[shard->index] = shard;
    shard->subs = subs;
    shard->sub_link.owner = shard;
    shard->sub_link.on_ready = on_link_ready;
    shard->sub_link.on_lost = on_link_lost;
    shard->sub_link.on_answer = on_answer;
    shard->sub_link.on_ended = on_ended;
    shard->sub_link.on_message = on_message;
}

enum err redis_subs_init(struct redis_subs *subs, struct redis_common *common)
{
    subs->common = common;
    list_init(&subs->retries);
    return hash_table_init(&subs->users, sub_hash);
}

void redis_subs_fini(struct redis_subs *subs)
{
    LIST_FOR_EACH_SAFE(link, &subs->retries)
    {
        end_retry(CONTAINER_OF(link, struct redis_retry, link));
    }
    for (size_t i = 0; i < subs->users.n_buckets; i++) {
        HASH_TABLE_FOR_EACH_IN(link, &subs->users, i)
        {
            forget_connection(subs, sub_of(link));
            sub_of(link)->is_wanted = false;
        }
    }
    drop_unwanted(subs);
    hash_table_fini(&subs->users);
}
