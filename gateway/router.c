#include "gateway/router.h"

#include "gateway/base/clock.h"
#include "gateway/base/metrics.h"

#include <stdlib.h>

/* One push in the store's hands. */
struct push_work {
    struct store_append append;
    struct gateway_push *push;
    struct node *node;
    struct store_target targets[];
};

static void fail_all(struct gateway_push *push, enum err error)
{
    for (size_t i = 0; i < push->n_targets; i++)
        push->targets[i].error = error;
    metrics_add(METRIC_PUSH_FAILED, push->n_targets);
    push->on_done(push);
}

static void count(const struct gateway_target *target, enum metric when_offline)
{
    if (target->error != ERR_OK)
        metrics_count(METRIC_PUSH_FAILED);
    else
        metrics_count(target->nodes > 0 ? METRIC_PUSH_SENT : when_offline);
}

static void on_appended(struct store_request *request)
{
    struct push_work *work = CONTAINER_OF(request, struct push_work, append.request);
    struct gateway_push *push = work->push;
    for (size_t i = 0; i < push->n_targets; i++) {
        const struct store_target *stored = &work->targets[i];
        struct gateway_target *target = &push->targets[i];
        /* Nobody outside can tell a store that is full from one that is away: come again later. */
        target->error = stored->error == ERR_FULL ? ERR_STORE_UNAVAILABLE : stored->error;
        if (stored->error != ERR_OK) {
            count(target, METRIC_PUSH_STORED);
            continue;
        }
        target->epoch = stored->epoch;
        target->seq = stored->seq;
        target->online = client_map_count(work->node->map, target->user_id);
        target->nodes = stored->nodes;
        if (target->online > 0 && target->nodes == 0)
            target->nodes = 1;
        count(target, METRIC_PUSH_STORED);
    }
    push->expires_ms = work->append.expires_ms;
    payload_unref(work->append.payload);
    free(work);
    push->on_done(push);
}

static void push_stored(struct node *node, struct gateway_push *push, struct payload *payload)
{
    struct push_work *work = calloc(1, sizeof *work + push->n_targets * sizeof work->targets[0]);
    if (work == NULL) {
        fail_all(push, ERR_NO_MEMORY);
        return;
    }
    work->push = push;
    work->node = node;
    work->append = (struct store_append){
        .request = {.on_done = on_appended,
                    .lane = client_map_home(node->map, push->targets[0].user_id)},
        .payload = payload_ref(payload), /* what a request points to stays until it is done */
        .ttl_s = push->ttl_s,
        .n_targets = push->n_targets,
        .targets = work->targets,
    };
    for (size_t i = 0; i < push->n_targets; i++) {
        struct store_target *target = &work->targets[i];
        target->user_id = push->targets[i].user_id;
        client_map_known(node->map, target->user_id, &target->known_epoch, &target->known_head);
    }
    store_append(node->store, &work->append);
}

static void push_ephemeral(struct node *node, struct gateway_push *push, struct payload *payload)
{
    struct notification *note =
        notification_new(payload, (struct epoch){{0}}, 0, clock_wall_ms(), 0);
    if (note == NULL) {
        fail_all(push, ERR_NO_MEMORY);
        return;
    }
    for (size_t i = 0; i < push->n_targets; i++) {
        struct gateway_target *target = &push->targets[i];
        target->error = ERR_OK;
        target->online = client_map_offer(node->map, target->user_id, note);
        target->nodes = target->online > 0 ? 1 : 0;
        count(target, METRIC_PUSH_DROPPED);
    }
    notification_unref(note);
    push->on_done(push);
}

void router_push(struct node *node, struct gateway_push *push)
{
    push->expires_ms = 0;
    struct payload *payload = payload_new(push->data);
    if (payload == NULL) {
        fail_all(push, ERR_NO_MEMORY);
        return;
    }
    if (push->ttl_s > 0)
        push_stored(node, push, payload);
    else
        push_ephemeral(node, push, payload);
    payload_unref(payload);
}

void router_on_notification(void *owner, struct span user_id, struct notification *note)
{
    struct node *node = owner;
    client_map_offer(node->map, user_id, note);
}

void router_on_missed(void *owner, struct span user_id)
{
    struct node *node = owner;
    client_map_missed(node->map, user_id);
}
