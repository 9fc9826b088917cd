/* Redis confirms each wish, in order. A user whose confirmations have all come is settled:
 * subscribed if still wanted, else gone from the table. An HTTP connection right
 * after a leave thus waits for two confirmations, and in whatever order they come, the last request
 * counts.
 */
#include "gateway/stores/redis/redis_subs.h"

#include "gateway/base/log.h"
#include "gateway/base/metrics.h"
#include "gateway/stores/redis/redis_cluster.h"

#include <stdlib.h>

/* A user whose subscription was refused. */
struct redis_retry {
    struct list link;
    struct timer timer;
    struct redis_subs *subs;
    struct redis_sub *sub;
    struct store_request *waiting; /* his pages */
    uint64_t round;                /* of the map to wait for; 0: none */
    int64_t since_ms;              /* the first refusal */
    int64_t pause_ms;              /* the next one */
    int64_t max_pause_ms;
};

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

static void wish_anew(struct redis_subs *subs, struct redis_sub *sub)
{
    if (shard_of(subs, sub)->sub_link.is_ready)
        metrics_count(METRIC_STORE_RESUBSCRIBED);
    send_wish(subs, sub, true);
}

static void set_held(struct redis_sub *sub, bool is_held)
{
    if (sub->is_held != is_held)
        metrics_gauge_add(METRIC_STORE_SUBSCRIPTIONS, is_held ? 1 : -1);
    sub->is_held = is_held;
}

static struct store_request **waiting_of(struct redis_sub *sub)
{
    return sub->is_retrying ? &sub->retry->waiting : &sub->waiting;
}

static struct store_request *take_waiting(struct redis_sub *sub)
{
    struct store_request **at = waiting_of(sub);
    struct store_request *first = *at;
    if (first != NULL)
        *at = first->next;
    return first;
}

static void report_missed(void *owner, struct redis_sub *sub)
{
    struct redis_subs *subs = owner;
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
        redis_sub_table_drop(&subs->table, sub);
    else
        report_missed(subs, sub);
}

static void refuse_waiting(struct redis_subs *subs, struct redis_sub *sub)
{
    struct store_request *page;
    while ((page = take_waiting(sub)) != NULL)
        subs->on_refused(subs->owner, page);
}

enum err redis_subs_arrive(struct redis_subs *subs, struct span user_id, struct store_request *page)
{
    struct redis_sub *sub = redis_sub_table_find(&subs->table, user_id);
    if (sub == NULL)
        sub =
            redis_sub_table_add(&subs->table, subs->shard_of(subs->owner, user_id)->index, user_id);
    if (sub == NULL)
        return ERR_NO_MEMORY;
    const struct redis_shard *shard = shard_of(subs, sub);
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
    struct store_request **last = waiting_of(sub);
    while (*last != NULL)
        last = &(*last)->next;
    *last = page;
    return ERR_OK;
}

void redis_subs_leave(struct redis_subs *subs, struct span user_id)
{
    struct redis_sub *sub = redis_sub_table_find(&subs->table, user_id);
    if (sub == NULL || !sub->is_wanted)
        return;
    send_wish(subs, sub, false);
    if (!subs->table.is_walking)
        redis_sub_table_drop(&subs->table, sub);
}

/* --- refused subscriptions --- */

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
    sub->waiting = retry->waiting;
    sub->is_late = false;
    redis_sub_table_drop(&retry->subs->table, sub);
    free(retry);
}

static void wish_again(struct redis_retry *retry)
{
    retry->round = 0;
    retry->sub->is_refused = false;
    wish_anew(retry->subs, retry->sub);
}

static void on_retry_due(struct timer *timer)
{
    struct redis_retry *retry = CONTAINER_OF(timer, struct redis_retry, timer);
    struct redis_sub *sub = retry->sub;
    if (sub->awaited == 0 && !sub->is_refused) {
        end_retry(retry); /* subscribed, gone, or the link is away and begins anew */
        return;
    }
    if (sub->awaited == 0 && retry->round > 0)
        (void)redis_cluster_want(retry->subs->common->cluster);
    else if (sub->awaited == 0)
        wish_again(retry);
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

/* NULL: no memory. */
static struct redis_retry *begin_retry(struct redis_subs *subs, struct redis_sub *sub,
                                       const char *error)
{
    static const char slot_moves[] = "TRYAGAIN";
    struct redis_retry *retry = calloc(1, sizeof *retry);
    if (retry == NULL)
        return NULL;
    bool is_moving = strncmp(error, slot_moves, sizeof slot_moves - 1) == 0;
    retry->subs = subs;
    retry->sub = sub;
    retry->since_ms = reactor_now_ms(reactor_of(retry));
    retry->pause_ms = is_moving ? SLOT_MOVES_PAUSE_MS : REFUSED_PAUSE_MS;
    retry->max_pause_ms = is_moving ? SLOT_MOVES_MAX_PAUSE_MS : REFUSED_MAX_PAUSE_MS;
    timer_init(&retry->timer, on_retry_due);
    list_append(&subs->retries, &retry->link);
    retry->waiting = sub->waiting;
    sub->retry = retry;
    sub->is_retrying = true;
    pause_retry(retry);
    return retry;
}

/* --- what comes in --- */

/* round: of the map to wait for; 0: none. */
static void try_again_later(struct redis_shard *shard, struct redis_sub *sub, const char *error,
                            uint64_t round)
{
    sub->is_refused = true;
    sub->is_missed = true;
    struct redis_retry *retry =
        sub->is_retrying ? sub->retry : begin_retry(shard->subs, sub, error);
    if (retry != NULL)
        retry->round = round;
    else
        redis_link_break(shard->sub_link.link, "out of memory");
}

static void take_refusal(struct redis_shard *shard, struct redis_sub *sub, const char *error)
{
    struct redis_cluster *cluster = shard->subs->common->cluster;
    bool is_elsewhere = redis_cluster_redirected(cluster, error, &shard->primary->address);
    if (!is_elsewhere)
        redis_primary_refused_one(shard->primary, error);
    try_again_later(shard, sub, error, is_elsewhere ? redis_cluster_want(cluster) : 0);
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
    struct redis_sub *sub = redis_sub_table_find(&shard->subs->table, user_id);
    if (sub == NULL || sub->shard != shard->index || !sub->is_wanted || sub->awaited > 0 ||
        sub->is_refused)
        return;
    set_held(sub, false);
    sub->is_missed = true;
    if (shard->subs->common->cluster != NULL)
        try_again_later(shard, sub, "", redis_cluster_want(shard->subs->common->cluster));
    else
        wish_anew(shard->subs, sub);
}

static void on_message(void *owner, struct span user_id, struct span message)
{
    struct redis_shard *shard = owner;
    struct redis_sub *sub = redis_sub_table_find(&shard->subs->table, user_id);
    if (sub != NULL)
        redis_sub_link_report(&shard->sub_link, sub, user_id, message);
}

/* --- slots move --- */

/* A new one at the shard where he is now, with the retry if there is one. Redis ends the old
 * subscription by itself, and the old one goes when no answer is due any more. */
static void move_sub(struct redis_subs *subs, struct redis_sub *sub, struct redis_shard *shard)
{
    struct redis_sub *fresh = redis_sub_table_add(&subs->table, shard->index, redis_sub_user(sub));
    if (fresh == NULL)
        return; /* Redis refuses what the old one asks, and this is tried again */
    fresh->is_missed = true;
    fresh->is_late = sub->is_late;
    fresh->is_retrying = sub->is_retrying;
    if (sub->is_retrying) {
        fresh->retry = sub->retry;
        fresh->retry->sub = fresh;
        fresh->retry->round = 0;
    } else {
        fresh->waiting = sub->waiting;
    }
    set_held(sub, false);
    sub->waiting = NULL;
    sub->is_retrying = false;
    sub->is_wanted = false;
    sub->is_moved = true;
    wish_anew(subs, fresh);
    if (!shard->sub_link.is_ready)
        refuse_waiting(subs, fresh);
}

/* Those who wait for a retry were moved before. */
static void follow_slot(void *owner, struct redis_sub *sub)
{
    struct redis_subs *subs = owner;
    if (!sub->is_wanted || sub->is_retrying)
        return;
    struct redis_shard *shard = subs->shard_of(subs->owner, redis_sub_user(sub));
    if (shard->index != sub->shard)
        move_sub(subs, sub, shard);
}

void redis_subs_follow(struct redis_subs *subs)
{
    LIST_FOR_EACH(link, &subs->retries)
    {
        struct redis_retry *retry = CONTAINER_OF(link, struct redis_retry, link);
        struct redis_shard *shard = subs->shard_of(subs->owner, redis_sub_user(retry->sub));
        if (retry->sub->is_wanted && shard->index != retry->sub->shard)
            move_sub(subs, retry->sub, shard);
    }
    redis_sub_table_visit(&subs->table, REDIS_ANY_SHARD, follow_slot, subs);
    redis_sub_table_drop_all(&subs->table);
}

void redis_subs_know_map(struct redis_subs *subs, uint64_t round)
{
    LIST_FOR_EACH(link, &subs->retries)
    {
        struct redis_retry *retry = CONTAINER_OF(link, struct redis_retry, link);
        if (retry->round == 0 || retry->round > round)
            continue;
        if (retry->sub->awaited == 0 && retry->sub->is_refused && retry->sub->is_wanted)
            wish_again(retry);
        retry->round = 0;
    }
}

/* --- a link comes and goes --- */

static void subscribe_again(void *owner, struct redis_sub *sub)
{
    struct redis_subs *subs = owner;
    sub->is_missed = true;
    if (sub->is_wanted && redis_link_is_up(shard_of(subs, sub)->sub_link.link))
        wish_anew(subs, sub);
}

static void on_link_ready(void *owner)
{
    struct redis_shard *shard = owner;
    redis_sub_table_visit(&shard->subs->table, shard->index, subscribe_again, shard->subs);
    if (!redis_link_is_up(shard->sub_link.link))
        return;
    redis_link_accept(shard->sub_link.link);
    redis_shard_review(shard);
}

static void forget_connection(void *owner, struct redis_sub *sub)
{
    struct redis_subs *subs = owner;
    set_held(sub, false);
    sub->awaited = 0;
    sub->is_refused = false;
    sub->is_missed = true;
    refuse_waiting(subs, sub);
}

static void on_link_lost(void *owner)
{
    struct redis_shard *shard = owner;
    redis_sub_table_visit(&shard->subs->table, shard->index, forget_connection, shard->subs);
    redis_sub_table_drop_all(&shard->subs->table);
    redis_shard_review(shard);
}

static void mark_missed(void *owner, struct redis_sub *sub)
{
    (void)owner;
    sub->is_missed = true;
}

void redis_subs_shard_up(struct redis_subs *subs, struct redis_shard *shard)
{
    redis_sub_table_visit(&subs->table, shard->index, report_missed, subs);
    redis_sub_table_drop_all(
        &subs->table); /* users who left meanwhile and needed no confirmation */
}

void redis_subs_shard_down(struct redis_subs *subs, struct redis_shard *shard)
{
    redis_sub_table_visit(&subs->table, shard->index, mark_missed, subs);
}

void redis_subs_report_all(struct redis_subs *subs, struct redis_shard *shard)
{
    redis_sub_table_visit(&subs->table, shard->index, mark_missed, subs);
    redis_sub_table_visit(&subs->table, shard->index, report_missed, subs);
    redis_sub_table_drop_all(&subs->table);
}

static void leave_behind(void *owner, struct redis_sub *sub)
{
    struct redis_subs *subs = owner;
    forget_connection(subs, sub);
    sub->shard = 0;
}

void redis_subs_detach(struct redis_subs *subs, struct redis_shard *shard)
{
    redis_sub_table_visit(&subs->table, shard->index, leave_behind, subs);
    redis_sub_table_drop_all(&subs->table);
}

/* --- one user, for others --- */

bool redis_subs_is_settled(const struct redis_subs *subs, const struct redis_sub *sub)
{
    return sub->is_wanted && sub->awaited == 0 && !sub->is_refused && !sub->is_missed &&
           shard_of(subs, sub)->is_up;
}

bool redis_subs_is_deaf_to(struct redis_subs *subs, struct span user_id)
{
    const struct redis_sub *sub = redis_sub_table_find(&subs->table, user_id);
    return sub != NULL && (!shard_of(subs, sub)->sub_link.is_ready || sub->is_refused);
}

void redis_subs_report(struct redis_subs *subs, struct redis_sub *sub)
{
    sub->is_missed = true;
    report_missed(subs, sub);
}

void redis_subs_release(struct redis_subs *subs, struct redis_sub *sub)
{
    sub->n_held--;
    redis_sub_table_drop(&subs->table, sub);
}

/* --- made and freed --- */

void redis_subs_attach(struct redis_subs *subs, struct redis_shard *shard)
{
    subs->shards[shard->index] = shard;
    if (subs->n_shards <= shard->index)
        subs->n_shards = shard->index + 1u;
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
    return redis_sub_table_init(&subs->table);
}

static void let_go(void *owner, struct redis_sub *sub)
{
    forget_connection(owner, sub);
    sub->is_wanted = false;
}

void redis_subs_fini(struct redis_subs *subs)
{
    LIST_FOR_EACH_SAFE(link, &subs->retries)
    {
        end_retry(CONTAINER_OF(link, struct redis_retry, link));
    }
    redis_sub_table_visit(&subs->table, REDIS_ANY_SHARD, let_go, subs);
    redis_sub_table_drop_all(&subs->table);
    redis_sub_table_fini(&subs->table);
}
