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
    if (atomic_fetch_sub(&call->left, 1) > 1)
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

void consumers_ask(const struct events *events, struct consumers_call *call, unsigned partitions,
                   enum store_consumers_action action)
{
    struct node *node = events->node;
    unsigned n = 0;
    call->error = ERR_OK;
    call->changed = 0;
    call->unread = 0;
    for (unsigned i = 0; i < STORE_PARTITIONS; i++) {
        struct store_consumers *answer = &call->answers[i];
        *answer = (struct store_consumers){.partition = i};
        if ((partitions & 1u << i) == 0)
            continue;
        answer->request = (struct store_request){.on_done = on_answered,
                                                 .lane = store_partition_lane(i, node->n_workers)};
        answer->action = action;
        answer->key = consumer_key_span(&call->key);
        answer->from_now = call->from_now;
        n++;
    }
    atomic_store(&call->left, n);
    /* The last answer may free the call: nothing of it is read after the last request. */
    for (unsigned i = 0; i < STORE_PARTITIONS && n > 0; i++) {
        if ((partitions & 1u << i) == 0)
            continue;
        n--;
        store_consumers(node->store, &call->answers[i]);
    }
}

/* ---- the consumers that pull ---- */

struct listing {
    struct consumers_call call;
    const struct events *events;
    struct gateway_event_consumers *asked;
};

static struct gateway_event_consumer *find_listed(struct gateway_event_consumers *asked,
                                                  const struct store_consumer *consumer)
{
    struct span name = {consumer->key + 1, (size_t)consumer->key_len - 1};
    for (size_t i = 0; i < asked->n; i++) {
        if (span_equal(span_of(asked->list[i].name), name))
            return &asked->list[i];
    }
    if (asked->n == STORE_MAX_CONSUMERS)
        return NULL; /* one comes while another goes */
    struct gateway_event_consumer *added = &asked->list[asked->n++];
    *added = (struct gateway_event_consumer){0};
    memcpy(added->name, name.bytes, name.len);
    return added;
}

static void list_partition(const struct listing *listing, const struct store_consumers *answer)
{
    const struct node *node = listing->events->node;
    int64_t now_ms = store_now_of(node->store, store_partition_user(answer->partition));
    for (size_t i = 0; i < answer->n; i++) {
        const struct store_consumer *consumer = &answer->list[i];
        if (consumer->key[0] != STORE_PULL)
            continue;
        struct gateway_event_consumer *listed = find_listed(listing->asked, consumer);
        if (listed == NULL)
            continue;
        int64_t lag_ms = consumer->oldest_ms == 0 ? 0 : now_ms - consumer->oldest_ms;
        listed->lag += consumer->lag;
        listed->lag_ms = lag_ms > listed->lag_ms ? lag_ms : listed->lag_ms;
        if (consumer->seen_ms > listed->called_ms)
            listed->called_ms = consumer->seen_ms;
    }
}

static int compare_consumers(const void *a, const void *b)
{
    const struct gateway_event_consumer *first = a;
    const struct gateway_event_consumer *second = b;
    return strcmp(first->name, second->name);
}

static void on_listed(struct consumers_call *call)
{
    struct listing *listing = CONTAINER_OF(call, struct listing, call);
    struct gateway_event_consumers *asked = listing->asked;
    asked->error = call->error;
    for (unsigned i = 0; call->error == ERR_OK && i < STORE_PARTITIONS; i++)
        list_partition(listing, &call->answers[i]);
    qsort(asked->list, asked->n, sizeof asked->list[0], compare_consumers);
    free(listing);
    asked->on_done(asked);
}

void gateway_event_consumers(struct node *node, struct gateway_event_consumers *asked)
{
    struct listing *listing = NULL;
    asked->n = 0;
    asked->error = node->events == NULL ? ERR_CONFLICT : ERR_NO_MEMORY;
    if (node->events != NULL)
        listing = calloc(1, sizeof *listing);
    if (listing == NULL) {
        asked->on_done(asked);
        return;
    }
    listing->events = node->events;
    listing->asked = asked;
    listing->call.on_done = on_listed;
    consumers_ask(node->events, &listing->call, PARTITIONS_ALL, CONSUMERS_LIST);
}

/* ---- forgetting one ---- */

struct forgetting {
    struct consumers_call call;
    struct gateway_event_forget *asked;
};

static void on_forgotten(struct consumers_call *call)
{
    struct forgetting *forgetting = CONTAINER_OF(call, struct forgetting, call);
    struct gateway_event_forget *asked = forgetting->asked;
    asked->error = call->error;
    if (call->error == ERR_OK && call->changed == 0)
        asked->error = ERR_NOT_FOUND;
    asked->unread = call->unread;
    free(forgetting);
    asked->on_done(asked);
}

void gateway_event_forget(struct node *node, struct gateway_event_forget *asked)
{
    struct forgetting *forgetting = NULL;
    asked->error = node->events == NULL ? ERR_CONFLICT : ERR_NO_MEMORY;
    if (node->events != NULL)
        forgetting = calloc(1, sizeof *forgetting);
    if (forgetting == NULL) {
        asked->on_done(asked);
        return;
    }
    forgetting->asked = asked;
    forgetting->call.key = consumer_key_of(STORE_PULL, asked->consumer);
    forgetting->call.on_done = on_forgotten;
    consumers_ask(node->events, &forgetting->call, PARTITIONS_ALL, CONSUMERS_REMOVE);
}
