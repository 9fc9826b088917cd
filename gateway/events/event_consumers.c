#include "gateway/events/event_consumers.h"

#include <stdlib.h>

struct consumer_key consumer_key_of(enum store_consumer_kind kind, struct span name)
{
    struct consumer_key key = {.len = 1 + name.len};
    key.text[0] = (char)kind;
    memcpy(key.text + 1, name.bytes, name.len);
    return key;
}

/* ---- asking several partitions ---- */

static void end_one(struct consumers_call *call)
{
    if (!partitions_are_answered(&call->left))
        return;
    for (unsigned i = 0; i < STORE_PARTITIONS; i++) {
        const struct store_consumers *answer = &call->answers[i];
        if (answer->request.on_done == NULL)
            continue; /* it was not asked */
        if (call->error == ERR_OK)
            call->error = answer->error;
        call->changed |= answer->is_changed ? 1u << i : 0;
        call->unread += answer->unread;
    }
    call->on_done(call);
}

static void on_answered(struct store_request *request)
{
    struct store_consumers *answer = CONTAINER_OF(request, struct store_consumers, request);
    struct store_consumers *first = answer - answer->partition;
    end_one(CONTAINER_OF(first, struct consumers_call, answers));
}

static void ask_partition(void *of, unsigned partition)
{
    struct consumers_call *call = of;
    store_consumers(call->events->node->store, &call->answers[partition]);
}

void consumers_ask(const struct events *events, struct consumers_call *call, unsigned partitions,
                   enum store_consumers_action action)
{
    unsigned lanes = events->node->n_workers;
    call->events = events;
    call->error = ERR_OK;
    call->changed = 0;
    call->unread = 0;
    for (unsigned i = 0; i < STORE_PARTITIONS; i++) {
        struct store_consumers *answer = &call->answers[i];
        *answer = (struct store_consumers){.partition = i};
        if ((partitions & 1u << i) == 0)
            continue;
        answer->request =
            (struct store_request){.on_done = on_answered, .lane = store_partition_lane(i, lanes)};
        answer->action = action;
        answer->key = consumer_key_span(&call->key);
        answer->from_now = call->from_now;
    }
    partitions_ask(&call->left, partitions, ask_partition, call);
}
