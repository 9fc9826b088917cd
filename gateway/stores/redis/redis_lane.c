/* Callers append their requests to a list under a lock, and post one letter to the lane's reactor
 * if none is on its way. The letter runs the list: a page of an HTTP connection waits for its
 * subscription first, a broadcast becomes a question to all nodes, everything else is sent at once.
 * A request whose letter was not delivered when the reactor stopped is still found in the list, and
 * answered with an error.
 */
#include "gateway/stores/redis/redis_lane.h"

#include "gateway/stores/redis/redis_broadcast.h"
#include "gateway/stores/redis/redis_heads.h"
#include "gateway/stores/redis/redis_ops.h"
#include "gateway/stores/redis/redis_probe.h"
#include "gateway/stores/redis/redis_push.h"
#include "gateway/stores/redis/redis_repeats.h"
#include "gateway/stores/redis/redis_sentinel_watch.h"
#include "gateway/stores/redis/redis_subs.h"

#include <stdlib.h>

struct redis_lane {
    struct redis_common *common;
    struct reactor *reactor;
    struct redis_shard shard; /* of all users: there is one Redis */
    struct redis_subs subs;
    struct redis_heads heads;
    struct redis_probe probe;
    struct redis_repeats repeats;
    struct redis_gather gather;         /* of the first lane alone */
    struct redis_sentinel_round *round; /* REDIS_SENTINEL */
    struct redis_sentinel_watch *watch; /* and the first lane */
    bool is_first;

    pthread_mutex_t lock; /* for the queue */
    struct store_request *queue;
    struct store_request **queue_last;
    bool is_posted; /* the letter is on its way */
    struct letter letter;
};

static struct redis_shard *shard_of_user(struct redis_lane *lane, struct span user_id)
{
    (void)user_id;
    return &lane->shard;
}

static struct redis_commands *owner_of_slot(void *owner, uint16_t slot)
{
    (void)slot;
    struct redis_lane *lane = owner;
    return &lane->shard.commands;
}

/* --- up and down --- */

static void on_shard_up(struct redis_shard *shard)
{
    struct redis_lane *lane = shard->owner;
    redis_common_lane(lane->common, true);
    redis_subs_shard_up(&lane->subs, shard);
}

static void on_shard_down(struct redis_shard *shard)
{
    struct redis_lane *lane = shard->owner;
    redis_subs_shard_down(&lane->subs, shard);
    redis_common_lane(lane->common, false);
}

static void on_shard_heard(struct redis_shard *shard)
{
    struct redis_lane *lane = shard->owner;
    redis_subs_report_all(&lane->subs, shard);
}

static void on_arrived(void *owner, struct store_request *page)
{
    struct redis_lane *lane = owner;
    redis_ops_run(&lane->shard.commands, page);
}

static void on_refused(void *owner, struct store_request *page)
{
    struct redis_lane *lane = owner;
    redis_ops_refuse(&lane->shard.commands, page, ERR_STORE_UNAVAILABLE);
}

static void on_plain(void *owner, struct span channel, struct span message)
{
    struct redis_shard *shard = owner;
    struct redis_lane *lane = shard->owner;
    if (span_equal(channel, redis_gather_reply_channel(&lane->gather)))
        redis_gather_take_answer(&lane->gather, message);
    else if (span_equal(channel, redis_gather_all_channel(&lane->gather)))
        redis_broadcast_take(&lane->gather, message);
}

/* --- requests --- */

static void run_one(struct redis_lane *lane, struct store_request *request)
{
    struct store_page *page = request->op == STORE_OP_PAGE ? (struct store_page *)request : NULL;
    if (request->op != STORE_OP_APPEND)
        redis_push_flush(&lane->shard.commands); /* what was asked first is sent first */
    if (request->op == REDIS_OP_BROADCAST) {
        redis_broadcast_run(&lane->gather, (struct store_broadcast *)request);
        return;
    }
    if (page == NULL || !page->is_arrival) {
        redis_ops_run(&lane->shard.commands, request);
        return;
    }
    enum err error =
        redis_subs_arrive(&lane->subs, shard_of_user(lane, page->user_id), page->user_id, request);
    if (error != ERR_OK)
        redis_ops_refuse(&lane->shard.commands, request, error);
}

static struct store_request *take_queue(struct redis_lane *lane, bool is_letter)
{
    pthread_mutex_lock(&lane->lock);
    struct store_request *queue = lane->queue;
    lane->queue = NULL;
    lane->queue_last = &lane->queue;
    if (is_letter)
        lane->is_posted = false;
    pthread_mutex_unlock(&lane->lock);
    return queue;
}

static void run_queue(struct redis_lane *lane, bool is_letter)
{
    struct store_request *request = take_queue(lane, is_letter);
    while (request != NULL) {
        struct store_request *next =
            request->next; /* the request is its caller's once it is done */
        run_one(lane, request);
        request = next;
    }
    redis_push_flush(&lane->shard.commands);
}

static void deliver_requests(struct letter *letter)
{
    run_queue(CONTAINER_OF(letter, struct redis_lane, letter), true);
}

void redis_lane_submit(struct redis_lane *lane, struct store_request *first,
                       struct store_request *last)
{
    last->next = NULL;
    pthread_mutex_lock(&lane->lock);
    *lane->queue_last = first;
    lane->queue_last = &last->next;
    bool must_post = !lane->is_posted;
    lane->is_posted = true;
    pthread_mutex_unlock(&lane->lock);
    if (must_post)
        mailbox_post(reactor_mailbox(lane->reactor), &lane->letter);
}

/* What was asked before the leave goes first: else an HTTP connection would be subscribed after
 * it, for ever. Nothing is answered inside, so the caller is not called back. */
void redis_lane_leave(struct redis_lane *lane, struct span user_id)
{
    run_queue(lane, false);
    redis_subs_leave(&lane->subs, user_id);
}

/* --- made and freed --- */

/* Before the shard: the channels are subscribed when its subscription link comes up. */
static enum err init_gather(struct redis_lane *lane)
{
    enum err error =
        redis_gather_init(&lane->gather, lane->common, lane->reactor, &lane->shard.commands);
    if (error != ERR_OK)
        return error;
    lane->is_first = true;
    lane->shard.sub_link.plain[0] = redis_gather_all_channel(&lane->gather);
    lane->shard.sub_link.plain[1] = redis_gather_reply_channel(&lane->gather);
    lane->shard.sub_link.on_plain = on_plain;
    return ERR_OK;
}

/* Before the shard, whose links ask. */
static enum err init_sentinels(struct redis_lane *lane, bool is_first)
{
    if (lane->common->url.topology != REDIS_SENTINEL)
        return ERR_OK;
    enum err error = redis_sentinel_round_new(lane->common, lane->reactor, &lane->round);
    if (error != ERR_OK)
        return error;
    lane->shard.commands.resolver = redis_sentinel_round_resolver(lane->round);
    lane->shard.sub_link.resolver = lane->shard.commands.resolver;
    return is_first
               ? redis_sentinel_watch_new(lane->common, lane->reactor, lane->round, &lane->watch)
               : ERR_OK;
}

/* After the shard. */
static void free_sentinels(struct redis_lane *lane)
{
    redis_sentinel_watch_free(lane->watch);
    redis_sentinel_round_free(lane->round);
}

enum err redis_lane_new(struct redis_common *common, struct reactor *reactor, bool is_first,
                        struct redis_lane **ret_lane)
{
    struct redis_lane *lane = calloc(1, sizeof *lane);
    if (lane == NULL)
        return ERR_NO_MEMORY;
    lane->common = common;
    lane->reactor = reactor;
    lane->queue_last = &lane->queue;
    lane->letter.deliver = deliver_requests;

    lane->subs.owner = lane;
    lane->subs.on_arrived = on_arrived;
    lane->subs.on_refused = on_refused;
    lane->shard.owner = lane;
    lane->shard.on_up = on_shard_up;
    lane->shard.on_down = on_shard_down;
    lane->shard.on_heard = on_shard_heard;
    lane->shard.commands.repeats = &lane->repeats;
    lane->repeats.common = common;
    lane->repeats.owner = lane;
    lane->repeats.owner_of = owner_of_slot;
    enum err error = redis_repeats_init(&lane->repeats, reactor);
    if (error != ERR_OK)
        goto undo_alloc;
    error = redis_subs_init(&lane->subs, common);
    if (error != ERR_OK)
        goto undo_repeats;
    redis_subs_attach(&lane->subs, &lane->shard);
    error = is_first ? init_gather(lane) : ERR_OK;
    if (error == ERR_OK)
        error = init_sentinels(lane, is_first);
    if (error == ERR_OK)
        error = redis_shard_init(&lane->shard, common, reactor, is_first);
    if (error != ERR_OK)
        goto undo_subs;
    redis_heads_init(&lane->heads, &lane->subs, reactor);
    redis_probe_init(&lane->probe, &lane->shard);
    pthread_mutex_init(&lane->lock, NULL);
    *ret_lane = lane;
    return ERR_OK;

undo_subs:
    free_sentinels(lane);
    redis_subs_fini(&lane->subs);
undo_repeats:
    redis_repeats_fini(&lane->repeats);
undo_alloc:
    free(lane);
    return error;
}

void redis_lane_free(struct redis_lane *lane)
{
    if (lane == NULL)
        return;
    lane->shard.commands.is_ready = false;
    redis_repeats_stop(&lane->repeats);
    struct store_request *request;
    while ((request = take_queue(lane, false)) != NULL)
        while (request != NULL) {
            struct store_request *next = request->next;
            redis_ops_refuse(&lane->shard.commands, request, ERR_STORE_UNAVAILABLE);
            request = next;
        }
    if (lane->is_first)
        redis_gather_fini(&lane->gather);
    redis_heads_fini(&lane->heads);
    redis_probe_fini(&lane->probe);
    redis_subs_fini(&lane->subs);
    redis_shard_fini(&lane->shard);
    redis_repeats_fini(&lane->repeats);
    free_sentinels(lane);
    pthread_mutex_destroy(&lane->lock);
    free(lane);
}
