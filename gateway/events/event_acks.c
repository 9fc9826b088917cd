#include "gateway/events/event_acks.h"

#include "gateway/events/event_resets.h"

#include <stdlib.h>

static void end_one(struct acks_call *call)
{
    if (!partitions_are_answered(&call->left))
        return;
    for (unsigned i = 0; i < STORE_PARTITIONS; i++) {
        if (call->acks[i].request.on_done == NULL)
            continue; /* it was not asked */
        enum err error = call->acks[i].error;
        if (error == ERR_STALE_EPOCH)
            call->stale |= 1u << i;
        else if (error == ERR_NOT_FOUND)
            call->unknown |= 1u << i;
        else if (error != ERR_OK)
            call->error = error;
    }
    call->on_done(call);
}

static unsigned index_of(const struct store_ack *ack)
{
    unsigned partition = 0;
    return store_is_partition_user(ack->user_id, &partition) ? partition : 0;
}

static void on_acked(struct store_request *request)
{
    struct store_ack *ack = CONTAINER_OF(request, struct store_ack, request);
    struct store_ack *first = ack - index_of(ack);
    end_one(CONTAINER_OF(first, struct acks_call, acks));
}

static void ask_partition(void *of, unsigned partition)
{
    struct acks_call *call = of;
    store_ack(call->events->node->store, &call->acks[partition]);
}

void acks_ask(const struct events *events, struct acks_call *call, unsigned partitions)
{
    unsigned lanes = events->node->n_workers;
    call->events = events;
    call->error = ERR_OK;
    call->stale = 0;
    call->unknown = 0;
    for (unsigned i = 0; i < STORE_PARTITIONS; i++) {
        call->acks[i] = (struct store_ack){0};
        if ((partitions & 1u << i) == 0)
            continue;
        call->acks[i] = (struct store_ack){
            .request = {.on_done = on_acked, .lane = store_partition_lane(i, lanes)},
            .user_id = store_partition_user(i),
            .device = consumer_key_span(&call->key),
            .epoch = call->positions[i].epoch,
            .seq = call->positions[i].seq,
            .written = call->positions[i].seq,
        };
    }
    partitions_ask(&call->left, partitions, ask_partition, call);
}

/* ---- POST /events/ack ---- */

struct acking {
    struct acks_call acks;
    struct consumers_call listing;
    struct events *events;
    struct gateway_event_ack *asked;
    unsigned partitions;
};

static void answer_ack(struct acking *acking, enum err error)
{
    struct gateway_event_ack *asked = acking->asked;
    asked->error = error;
    free(acking);
    asked->on_done(asked);
}

/* false: the partition does not have it. */
static bool add_lag(const struct store_consumers *answer, struct span key, uint64_t *inout_lag)
{
    for (size_t i = 0; i < answer->n; i++) {
        const struct store_consumer *consumer = &answer->list[i];
        if (!span_equal((struct span){consumer->key, consumer->key_len}, key))
            continue;
        *inout_lag += consumer->lag;
        return true;
    }
    return false;
}

static void on_listed(struct consumers_call *call)
{
    struct acking *acking = CONTAINER_OF(call, struct acking, listing);
    struct span key = consumer_key_span(&acking->acks.key);
    enum err error = call->error;
    bool is_there = false;
    acking->asked->lag = 0;
    for (unsigned i = 0; error == ERR_OK && i < STORE_PARTITIONS; i++)
        is_there |= add_lag(&call->answers[i], key, &acking->asked->lag);
    answer_ack(acking, error == ERR_OK && !is_there ? ERR_NOT_FOUND : error);
}

static void list_lags(struct acking *acking)
{
    acking->listing.on_done = on_listed;
    consumers_ask(acking->events, &acking->listing, PARTITIONS_ALL, CONSUMERS_LIST);
}

/* A partition that has lost the consumer, while others have it, has lost its epoch as well. */
static void on_all_acked(struct acks_call *call)
{
    struct acking *acking = CONTAINER_OF(call, struct acking, acks);
    const struct event_cursor *cursor = &acking->asked->cursor;
    if (call->error != ERR_OK || call->unknown == acking->partitions) {
        answer_ack(acking, call->error != ERR_OK ? call->error : ERR_NOT_FOUND);
        return;
    }
    unsigned gone = call->stale | call->unknown;
    event_resets_acked(acking->events->resets,
                       (struct span){cursor->consumer, cursor->consumer_len}, gone,
                       acking->partitions & ~gone);
    list_lags(acking);
}

void gateway_event_ack(struct node *node, struct gateway_event_ack *asked)
{
    struct acking *acking = NULL;
    asked->error = node->events == NULL ? ERR_CONFLICT : ERR_NO_MEMORY;
    if (node->events != NULL)
        acking = calloc(1, sizeof *acking);
    if (acking == NULL) {
        asked->on_done(asked);
        return;
    }
    const struct event_cursor *cursor = &asked->cursor;
    acking->events = node->events;
    acking->asked = asked;
    acking->acks.key =
        consumer_key_of(STORE_PULL, (struct span){cursor->consumer, cursor->consumer_len});
    acking->acks.on_done = on_all_acked;
    for (unsigned i = 0; i < STORE_PARTITIONS; i++) {
        acking->acks.positions[i] = cursor->positions[i];
        acking->partitions |= epoch_is_none(cursor->positions[i].epoch) ? 0 : 1u << i;
    }
    if (acking->partitions == 0)
        list_lags(acking);
    else
        acks_ask(node->events, &acking->acks, acking->partitions);
}
