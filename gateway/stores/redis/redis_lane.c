/* Callers append their requests to a list under a lock, and post one letter to the lane's reactor
 * if none is on its way. That is done under the lock as well: what a caller posts to the reactor
 * after its request comes behind it, whoever's letter takes that along. The letter runs the list: a
 * page of an HTTP connection waits for its subscription first, a broadcast becomes a question to
 * all nodes, everything else is sent at once. A request whose letter was not delivered when the
 * reactor stopped is still found in the list, and answered with an error.
 */
#include "gateway/stores/redis/redis_lane.h"

#include "gateway/stores/redis/redis_broadcast.h"
#include "gateway/stores/redis/redis_event_alerts.h"
#include "gateway/stores/redis/redis_heads.h"
#include "gateway/stores/redis/redis_nodes.h"
#include "gateway/stores/redis/redis_online.h"
#include "gateway/stores/redis/redis_ops.h"
#include "gateway/stores/redis/redis_push.h"
#include "gateway/stores/redis/redis_repeats.h"
#include "gateway/stores/redis/redis_send.h"
#include "gateway/stores/redis/redis_sentinel_watch.h"
#include "gateway/stores/redis/redis_shards.h"
#include "gateway/stores/redis/redis_user_ask.h"
#include "gateway/stores/redis/redis_watch.h"

#include <stddef.h>
#include <stdlib.h>

struct redis_lane {
    struct redis_common *common;
    struct reactor *reactor;
    struct redis_shards shards;
    struct redis_subs subs;
    struct redis_heads heads;
    struct redis_repeats repeats;
    struct redis_alerts alerts;
    struct redis_gather gather; /* of the first lane alone */
    struct redis_asked asked;
    struct redis_sentinel_round *round; /* REDIS_SENTINEL */
    struct redis_sentinel_watch *watch; /* and the first lane */
    bool is_first;

    pthread_mutex_t lock; /* for the queue */
    struct store_request *queue;
    struct store_request **queue_last;
    bool is_posted; /* the letter is on its way */
    struct letter letter;
};

/* --- up and down --- */

static void on_shard_up(struct redis_shard *shard)
{
    struct redis_lane *lane = shard->owner;
    redis_primary_shard(shard->primary, true);
    redis_subs_shard_up(&lane->subs, shard);
}

static void on_shard_down(struct redis_shard *shard)
{
    struct redis_lane *lane = shard->owner;
    redis_subs_shard_down(&lane->subs, shard);
    redis_primary_shard(shard->primary, false);
}

static void on_shard_heard(struct redis_shard *shard)
{
    struct redis_lane *lane = shard->owner;
    redis_subs_report_all(&lane->subs, shard);
}

/* --- which shard --- */

static struct redis_shard *shard_of_user(void *owner, struct span user_id)
{
    struct redis_lane *lane = owner;
    uint16_t slot;
    return redis_shards_of_user(&lane->shards, user_id, &slot);
}

static struct redis_commands *commands_of_user(void *owner, struct span user_id, uint16_t *ret_slot)
{
    struct redis_lane *lane = owner;
    return &redis_shards_of_user(&lane->shards, user_id, ret_slot)->commands;
}

static struct redis_commands *commands_of_slot(void *owner, uint16_t slot)
{
    struct redis_lane *lane = owner;
    return &redis_shards_of_slot(&lane->shards, slot)->commands;
}

static struct redis_commands *follow_redirect(void *owner, struct redis_commands *asked,
                                              const char *error)
{
    struct redis_lane *lane = owner;
    return redis_shards_redirect(&lane->shards, asked, error);
}

static struct redis_commands *commands_of_ticket(struct redis_lane *lane, struct span ticket)
{
    char key[REDIS_TICKET_KEY_MAX_BYTES];
    struct span all = redis_ticket_key(key, lane->common->prefix, ticket);
    return &redis_shards_of_key(&lane->shards, all)->commands;
}

/* Of what one script or command carries out. */
static struct redis_commands *commands_of_request(struct redis_lane *lane,
                                                  const struct store_request *request)
{
    static const size_t users[STORE_OPS] = {
        [STORE_OP_PAGE] = offsetof(struct store_page, user_id),
        [STORE_OP_ACK] = offsetof(struct store_ack, user_id),
        [STORE_OP_PEEK] = offsetof(struct store_peek, user_id),
        [STORE_OP_LOOK] = offsetof(struct store_look, user_id),
        [STORE_OP_WITHDRAW] = offsetof(struct store_withdraw, user_id),
        [STORE_OP_BLOCK] = offsetof(struct store_block, user_id),
    };
    char nodes[REDIS_NODES_KEY_MAX_BYTES];
    if (request->op == REDIS_OP_NODES) {
        struct span key = redis_nodes_key(nodes, lane->common->prefix);
        return &redis_shards_of_key(&lane->shards, key)->commands;
    }
    if (request->op == STORE_OP_TICKET_GIVE)
        return commands_of_ticket(lane, ((const struct store_ticket_give *)request)->ticket);
    if (request->op == STORE_OP_TICKET_TAKE)
        return commands_of_ticket(lane, ((const struct store_ticket_take *)request)->ticket);
    struct span user_id;
    uint16_t slot;
    if (redis_is_of_events(request))
        user_id = redis_event_user(request);
    else
        memcpy(&user_id, (const char *)request + users[request->op], sizeof user_id);
    return commands_of_user(lane, user_id, &slot);
}

/* The channels of the fleet, each at the shard of its slot. */
static struct redis_commands *commands_of_channel(void *owner, struct span channel)
{
    struct redis_lane *lane = owner;
    return &redis_shards_of_key(&lane->shards, channel)->commands;
}

static void place_channel(struct redis_lane *lane, size_t at, struct span channel)
{
    const struct redis_shard *place = redis_shards_of_key(&lane->shards, channel);
    for (unsigned i = 0; i < lane->subs.n_shards; i++) {
        struct redis_shard *shard = lane->subs.shards[i];
        if (shard != NULL && shard->primary != NULL)
            redis_sub_link_set_plain(&shard->sub_link, at,
                                     shard == place ? channel : (struct span){NULL, 0});
    }
}

static bool has_place(const struct redis_lane *lane, struct span channel)
{
    return redis_shards_of_key(&lane->shards, channel)->primary != NULL;
}

/* Without an owner of its slot nothing can be answered there: another NAME has another slot. The
 * links let go of the name before, which stands where the new one will. */
static void rename_if_nowhere(struct redis_lane *lane)
{
    enum { TRIES_MAX = 100 };
    char channel[REDIS_CHANNELS_MAX_BYTES + REDIS_SUFFIX_MAX_BYTES];
    struct epoch name;
    if (has_place(lane, redis_gather_reply_channel(&lane->gather)))
        return;
    for (int i = 0; i < TRIES_MAX && epoch_random(&name) == ERR_OK; i++) {
        redis_gather_name_channel(lane->common, &name, channel);
        if (!has_place(lane, span_of(channel)))
            continue;
        for (unsigned at = 0; at < lane->subs.n_shards; at++)
            if (lane->subs.shards[at] != NULL)
                redis_sub_link_set_plain(&lane->subs.shards[at]->sub_link, 1, SPAN_NONE);
        redis_gather_rename(&lane->gather, name);
        return;
    }
}

static void on_slots_moved(void *owner)
{
    struct redis_lane *lane = owner;
    redis_repeats_wake(&lane->repeats);
    if (!lane->is_first)
        return;
    rename_if_nowhere(lane);
    place_channel(lane, 0, redis_gather_all_channel(&lane->gather));
    place_channel(lane, 1, redis_gather_reply_channel(&lane->gather));
    place_channel(lane, 2, redis_gather_node_channel(&lane->gather));
}

/* --- what comes --- */

static void on_arrived(void *owner, struct store_request *page)
{
    redis_ops_run(commands_of_request(owner, page), page);
}

static void on_refused(void *owner, struct store_request *page)
{
    redis_ops_refuse(commands_of_request(owner, page), page, ERR_STORE_UNAVAILABLE);
}

/* A message of a user's channel that reports no event. */
static void on_other(void *owner, struct span user_id, struct span message)
{
    struct redis_shard *shard = owner;
    struct redis_lane *lane = shard->owner;
    if (message.len > 0 && message.bytes[0] == 'Y')
        redis_watch_take(lane->asked.gather, user_id, message);
    else
        redis_asked_take(&lane->asked, user_id, message);
}

static void on_plain(void *owner, struct span channel, struct span message)
{
    struct redis_shard *shard = owner;
    struct redis_lane *lane = shard->owner;
    bool is_reply = span_equal(channel, redis_gather_reply_channel(&lane->gather));
    if (is_reply && message.len > 0 && message.bytes[0] == 'A')
        redis_watch_take_answer(lane->common, message);
    else if (is_reply)
        redis_gather_take_answer(&lane->gather, message);
    else if (span_equal(channel, redis_gather_all_channel(&lane->gather)))
        redis_broadcast_take(&lane->asked, message);
    else if (span_equal(channel, redis_gather_node_channel(&lane->gather)))
        redis_asked_take(&lane->asked, SPAN_NONE, message);
}

/* --- requests --- */

static void flush_pushes(struct redis_lane *lane)
{
    for (unsigned i = 0; i < lane->subs.n_shards; i++)
        if (lane->subs.shards[i] != NULL)
            redis_push_flush(&lane->subs.shards[i]->commands);
}

/* What goes to more than one shard, or to a channel. false: it is another request. */
static bool run_published(struct redis_lane *lane, struct store_request *request)
{
    if (request->op == REDIS_OP_BROADCAST) {
        redis_broadcast_run(&lane->asked, (struct store_broadcast *)request);
    } else if (request->op == REDIS_OP_ASK) {
        redis_user_ask_run(&lane->gather, (struct store_ask *)request);
    } else if (request->op == STORE_OP_ONLINE) {
        redis_online_run(lane, shard_of_user, (struct store_online *)request);
    } else if (request->op == STORE_OP_SEND) {
        flush_pushes(lane);
        redis_send_run(lane, shard_of_user, (struct store_append *)request);
    } else {
        return false;
    }
    return true;
}

static void run_one(struct redis_lane *lane, struct store_request *request)
{
    if (request->op == STORE_OP_APPEND) {
        struct redis_route route = {lane, commands_of_user};
        redis_push_run(&route, (struct store_append *)request);
        return;
    }
    if (run_published(lane, request))
        return;
    struct redis_commands *commands = commands_of_request(lane, request);
    redis_push_flush(commands); /* what was asked first is sent first */
    struct store_page *page = request->op == STORE_OP_PAGE ? (struct store_page *)request : NULL;
    if (page == NULL || !page->is_arrival) {
        redis_ops_run(commands, request);
        return;
    }
    enum err error = redis_subs_arrive(&lane->subs, page->user_id, request);
    if (error != ERR_OK)
        redis_ops_refuse(commands, request, error);
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
    flush_pushes(lane);
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
    bool must_ring = !lane->is_posted && mailbox_put(reactor_mailbox(lane->reactor), &lane->letter);
    lane->is_posted = true;
    pthread_mutex_unlock(&lane->lock);
    if (must_ring)
        mailbox_ring(reactor_mailbox(lane->reactor));
}

/* What was asked before the leave goes first: else an HTTP connection would be subscribed after
 * it, for ever. Nothing is answered inside, so the caller is not called back. */
void redis_lane_leave(struct redis_lane *lane, struct span user_id)
{
    run_queue(lane, false);
    redis_subs_leave(&lane->subs, user_id);
}

void redis_lane_watch(struct redis_lane *lane, struct span user_id, const struct store_watch *watch)
{
    uint16_t slot;
    run_queue(lane, false);
    struct epoch name = atomic_load(&lane->asked.gather->name);
    redis_watch_send(commands_of_user(lane, user_id, &slot), &name, user_id, watch);
}

void redis_lane_answer_watch(struct redis_lane *lane, struct span user_id,
                             const struct store_watch *watch, uint64_t acked)
{
    char channel[REDIS_CHANNELS_MAX_BYTES + REDIS_SUFFIX_MAX_BYTES];
    uint16_t slot;
    run_queue(lane, false);
    redis_gather_name_channel(lane->common, &watch->node, channel);
    redis_watch_answer(commands_of_user(lane, user_id, &slot),
                       commands_of_channel(lane, span_of(channel)), watch, acked);
}

/* --- made and freed --- */

static void prepare_shard(void *owner, struct redis_shard *shard)
{
    struct redis_lane *lane = owner;
    shard->owner = lane;
    shard->on_up = on_shard_up;
    shard->on_down = on_shard_down;
    shard->on_heard = on_shard_heard;
    shard->commands.repeats = &lane->repeats;
    shard->commands.alerts = &lane->alerts;
    if (lane->round != NULL)
        shard->commands.resolver = redis_sentinel_round_resolver(lane->round);
    shard->sub_link.resolver = shard->commands.resolver;
    shard->sub_link.on_other = on_other;
    if (!lane->is_first)
        return;
    shard->sub_link.on_plain = on_plain;
    if (lane->common->cluster != NULL)
        return; /* the map says where the channels are */
    shard->sub_link.plain[0] = redis_gather_all_channel(&lane->gather);
    shard->sub_link.plain[1] = redis_gather_reply_channel(&lane->gather);
    shard->sub_link.plain[2] = redis_gather_node_channel(&lane->gather);
}

static enum err init_repeats(struct redis_lane *lane)
{
    lane->repeats.common = lane->common;
    lane->repeats.owner = lane;
    lane->repeats.owner_of = commands_of_slot;
    lane->repeats.redirect = follow_redirect;
    return redis_repeats_init(&lane->repeats, lane->reactor);
}

/* Before the shard, whose links ask. */
static enum err init_sentinels(struct redis_lane *lane)
{
    if (lane->common->url.topology != REDIS_SENTINEL)
        return ERR_OK;
    enum err error = redis_sentinel_round_new(lane->common, lane->reactor, &lane->round);
    if (error != ERR_OK)
        return error;
    return lane->is_first
               ? redis_sentinel_watch_new(lane->common, lane->reactor, lane->round, &lane->watch)
               : ERR_OK;
}

/* After the shard. */
static void free_sentinels(struct redis_lane *lane)
{
    redis_sentinel_watch_free(lane->watch);
    redis_sentinel_round_free(lane->round);
}

static enum err init_parts(struct redis_lane *lane, struct redis_lane *first)
{
    lane->subs.owner = lane;
    lane->subs.on_arrived = on_arrived;
    lane->subs.on_refused = on_refused;
    lane->subs.shard_of = shard_of_user;
    enum err error = redis_subs_init(&lane->subs, lane->common);
    if (error != ERR_OK)
        return error;
    lane->gather.owner = lane;
    lane->gather.of_channel = commands_of_channel;
    lane->asked.owner = lane;
    lane->asked.of_channel = commands_of_channel;
    lane->asked.of_user = commands_of_user;
    redis_asked_init(&lane->asked, lane->common, lane->reactor,
                     first == NULL ? &lane->gather : &first->gather);
    if (lane->is_first)
        error = redis_gather_init(&lane->gather, lane->common, lane->reactor);
    if (error == ERR_OK)
        error = init_sentinels(lane);
    lane->shards.common = lane->common;
    lane->shards.reactor = lane->reactor;
    lane->shards.subs = &lane->subs;
    lane->shards.is_first = lane->is_first;
    lane->shards.owner = lane;
    lane->shards.prepare = prepare_shard;
    lane->shards.on_moved = on_slots_moved;
    if (error == ERR_OK)
        error = redis_shards_init(&lane->shards);
    if (error != ERR_OK)
        redis_subs_fini(&lane->subs);
    return error;
}

enum err redis_lane_new(struct redis_common *common, struct reactor *reactor,
                        struct redis_lane *first, struct redis_lane **ret_lane)
{
    struct redis_lane *lane = calloc(1, sizeof *lane);
    if (lane == NULL)
        return ERR_NO_MEMORY;
    lane->common = common;
    lane->reactor = reactor;
    lane->is_first = first == NULL;
    lane->queue_last = &lane->queue;
    lane->letter.deliver = deliver_requests;
    lane->alerts.route = (struct redis_route){lane, commands_of_user};
    redis_alerts_init(&lane->alerts, reactor);
    enum err error = init_repeats(lane);
    if (error == ERR_OK) {
        error = init_parts(lane, first);
        if (error != ERR_OK)
            redis_repeats_fini(&lane->repeats);
    }
    if (error != ERR_OK) {
        free_sentinels(lane);
        free(lane);
        return error;
    }
    redis_heads_init(&lane->heads, &lane->subs, reactor);
    pthread_mutex_init(&lane->lock, NULL);
    *ret_lane = lane;
    return ERR_OK;
}

void redis_lane_free(struct redis_lane *lane)
{
    if (lane == NULL)
        return;
    redis_repeats_stop(&lane->repeats);
    struct redis_commands *any = &redis_shards_of_slot(&lane->shards, 0)->commands;
    redis_shards_stop(&lane->shards);
    redis_alerts_fini(&lane->alerts);
    struct store_request *request;
    while ((request = take_queue(lane, false)) != NULL)
        while (request != NULL) {
            struct store_request *next = request->next;
            redis_ops_refuse(any, request, ERR_STORE_UNAVAILABLE);
            request = next;
        }
    if (lane->is_first)
        redis_gather_fini(&lane->gather);
    redis_asked_fini(&lane->asked);
    redis_heads_fini(&lane->heads);
    redis_subs_fini(&lane->subs);
    redis_shards_fini(&lane->shards);
    redis_repeats_fini(&lane->repeats);
    free_sentinels(lane);
    pthread_mutex_destroy(&lane->lock);
    free(lane);
}
