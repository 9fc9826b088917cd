/* Callers append their requests to a list under a lock, and post one letter to the lane's reactor
 * if none is on its way. The letter runs the list: a page of an HTTP connection waits for its
 * subscription first, a broadcast becomes a question to all nodes, everything else is sent at once.
 * A request whose letter was not delivered when the reactor stopped is still found in the list, and
 * answered with an error.
 */
#include "gateway/stores/redis/redis_lane.h"

#include "gateway/stores/redis/redis_broadcast.h"
#include "gateway/stores/redis/redis_ops.h"
#include "gateway/stores/redis/redis_subs.h"
#include "gateway/stores/redis/redis_trial.h"

#include <stdlib.h>

struct redis_lane {
    struct redis_common *common;
    struct reactor *reactor;
    struct redis_commands commands;
    struct redis_trial trial;
    struct redis_subs subs;
    struct redis_gather gather; /* of the first lane alone */
    bool is_first;
    bool is_up;

    pthread_mutex_t lock; /* for the queue */
    struct store_request *queue;
    struct store_request **queue_last;
    bool is_posted; /* the letter is on its way */
    struct letter letter;
};

/* --- up and down --- */

static void review_lane(void *owner)
{
    struct redis_lane *lane = owner;
    bool is_up = lane->commands.is_ready && lane->subs.is_ready;
    if (is_up == lane->is_up)
        return;
    lane->is_up = is_up;
    if (!is_up)
        redis_subs_lane_down(&lane->subs);
    redis_common_lane(lane->common, is_up);
    if (is_up)
        redis_subs_lane_up(&lane->subs);
}

static void on_commands_loaded(void *owner)
{
    struct redis_lane *lane = owner;
    redis_trial_begin(&lane->trial);
}

/* A name that resolved to a replica may resolve to another Redis now: the subscriptions follow. */
static void on_commands_ready(void *owner)
{
    struct redis_lane *lane = owner;
    if (lane->commands.was_replica)
        redis_subs_restart(&lane->subs, "the primary may be another now");
    lane->commands.was_replica = false;
    review_lane(lane);
}

static void on_commands_down(void *owner, bool was_ready)
{
    struct redis_lane *lane = owner;
    redis_trial_stop(&lane->trial);
    if (was_ready)
        review_lane(lane);
}

static void on_heard(void *owner)
{
    struct redis_lane *lane = owner;
    redis_subs_report_all(&lane->subs);
}

static void on_arrived(void *owner, struct store_request *page)
{
    struct redis_lane *lane = owner;
    redis_ops_run(&lane->commands, page);
}

static void on_refused(void *owner, struct store_request *page)
{
    struct redis_lane *lane = owner;
    redis_ops_refuse(&lane->commands, page, ERR_STORE_UNAVAILABLE);
}

static void on_plain(void *owner, struct span channel, struct span message)
{
    struct redis_lane *lane = owner;
    if (span_equal(channel, redis_gather_reply_channel(&lane->gather)))
        redis_gather_take_answer(&lane->gather, message);
    else if (span_equal(channel, redis_gather_all_channel(&lane->gather)))
        redis_broadcast_take(&lane->gather, message);
}

/* --- requests --- */

static void run_one(struct redis_lane *lane, struct store_request *request)
{
    struct store_page *page = request->op == STORE_OP_PAGE ? (struct store_page *)request : NULL;
    if (request->op == REDIS_OP_BROADCAST) {
        redis_broadcast_run(&lane->gather, (struct store_broadcast *)request);
        return;
    }
    if (page == NULL || !page->is_arrival) {
        redis_ops_run(&lane->commands, request);
        return;
    }
    enum err error = redis_subs_arrive(&lane->subs, page->user_id, request);
    if (error != ERR_OK)
        redis_ops_refuse(&lane->commands, request, error);
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

/* After the commands. The channels are subscribed when the link of the subscriptions is up. */
static enum err init_gather(struct redis_lane *lane)
{
    enum err error = redis_gather_init(&lane->gather, lane->common, lane->reactor, &lane->commands);
    if (error != ERR_OK)
        return error;
    lane->is_first = true;
    lane->subs.plain[0] = redis_gather_all_channel(&lane->gather);
    lane->subs.plain[1] = redis_gather_reply_channel(&lane->gather);
    lane->subs.on_plain = on_plain;
    return ERR_OK;
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

    lane->commands.owner = lane;
    lane->commands.on_loaded = on_commands_loaded;
    lane->commands.on_ready = on_commands_ready;
    lane->commands.on_down = on_commands_down;
    lane->trial.is_first = is_first;
    lane->trial.owner = lane;
    lane->trial.on_heard = on_heard;
    enum err error = redis_commands_init(&lane->commands, common, reactor);
    if (error != ERR_OK)
        goto undo_alloc;
    redis_trial_init(&lane->trial, &lane->commands);

    lane->subs.owner = lane;
    lane->subs.on_ready = review_lane;
    lane->subs.on_lost = review_lane;
    lane->subs.on_arrived = on_arrived;
    lane->subs.on_refused = on_refused;
    error = is_first ? init_gather(lane) : ERR_OK;
    if (error == ERR_OK)
        error = redis_subs_init(&lane->subs, common, reactor);
    if (error != ERR_OK)
        goto undo_commands;
    pthread_mutex_init(&lane->lock, NULL);
    *ret_lane = lane;
    return ERR_OK;

undo_commands:
    redis_commands_fini(&lane->commands);
undo_alloc:
    free(lane);
    return error;
}

void redis_lane_free(struct redis_lane *lane)
{
    if (lane == NULL)
        return;
    lane->commands.is_ready = false;
    struct store_request *request;
    while ((request = take_queue(lane, false)) != NULL)
        while (request != NULL) {
            struct store_request *next = request->next;
            redis_ops_refuse(&lane->commands, request, ERR_STORE_UNAVAILABLE);
            request = next;
        }
    if (lane->is_first)
        redis_gather_fini(&lane->gather);
    redis_subs_fini(&lane->subs);
    redis_trial_stop(&lane->trial);
    redis_commands_fini(&lane->commands);
    pthread_mutex_destroy(&lane->lock);
    free(lane);
}
