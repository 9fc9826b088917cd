/* What operators ask of consumers: a list of all, those that pull and webhook endpoints, and to
 * forget one. An endpoint is forgotten here if no file has it any more: this node's own says so
 * itself, and the file of another by the life that its node shows each few seconds
 * (webhook_consumers.c). */
#include "gateway/events/event_consumers.h"
#include "gateway/events/event_resets.h"
#include "gateway/events/webhooks.h"

#include <stdlib.h>

/* ---- the list ---- */

struct listing {
    struct consumers_call call;
    const struct events *events;
    struct gateway_event_consumers *asked;
};

static struct gateway_event_consumer *find_listed(struct gateway_event_consumers *asked,
                                                  const struct store_consumer *consumer)
{
    struct span name = {consumer->key + 1, (size_t)consumer->key_len - 1};
    bool is_webhook = consumer->key[0] == STORE_WEBHOOK;
    for (size_t i = 0; i < asked->n; i++) {
        if (asked->list[i].is_webhook == is_webhook &&
            span_equal(span_of(asked->list[i].name), name))
            return &asked->list[i];
    }
    if (asked->n == STORE_MAX_CONSUMERS)
        return NULL; /* one comes while another goes */
    struct gateway_event_consumer *added = &asked->list[asked->n++];
    *added = (struct gateway_event_consumer){.is_webhook = is_webhook};
    memcpy(added->name, name.bytes, name.len);
    return added;
}

static void list_partition(const struct listing *listing, const struct store_consumers *answer)
{
    const struct node *node = listing->events->node;
    int64_t now_ms = store_now_of(node->store, store_partition_user(answer->partition));
    for (size_t i = 0; i < answer->n; i++) {
        const struct store_consumer *consumer = &answer->list[i];
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
    int order = strcmp(first->name, second->name);
    return order != 0 ? order : (int)first->is_webhook - (int)second->is_webhook;
}

static void on_listed(struct consumers_call *call)
{
    struct listing *listing = CONTAINER_OF(call, struct listing, call);
    struct gateway_event_consumers *asked = listing->asked;
    asked->error = call->error;
    for (unsigned i = 0; call->error == ERR_OK && i < STORE_PARTITIONS; i++)
        list_partition(listing, &call->answers[i]);
    for (size_t i = 0; i < asked->n; i++)
        asked->list[i].is_in_file =
            asked->list[i].is_webhook &&
            webhooks_have(listing->events->webhooks, span_of(asked->list[i].name));
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
    const struct events *events;
    struct gateway_event_forget *asked;
};

static void end_forgetting(struct forgetting *forgetting, enum err error)
{
    struct gateway_event_forget *asked = forgetting->asked;
    asked->error = error;
    asked->unread = forgetting->call.unread;
    free(forgetting);
    asked->on_done(asked);
}

static void on_forgotten(struct consumers_call *call)
{
    struct forgetting *forgetting = CONTAINER_OF(call, struct forgetting, call);
    enum err error = call->error;
    if (error == ERR_OK && call->changed == 0)
        error = ERR_NOT_FOUND;
    end_forgetting(forgetting, error);
}

/* Has a node shown within the last seconds that its file has the endpoint? */
static bool is_in_use(const struct forgetting *forgetting)
{
    const struct store_consumers *first = &forgetting->call.answers[WEBHOOK_LIFE_PARTITION];
    const struct store *store = forgetting->events->node->store;
    int64_t now_ms = store_now_of(store, store_partition_user(first->partition));
    for (size_t i = 0; store_is_shared(store) && i < first->n; i++) {
        struct span key = {first->list[i].key, first->list[i].key_len};
        if (span_equal(key, consumer_key_span(&forgetting->call.key)))
            return now_ms - first->list[i].seen_ms < WEBHOOK_LIFE_OVER_MS;
    }
    return false;
}

static void on_webhook_listed(struct consumers_call *call)
{
    struct forgetting *forgetting = CONTAINER_OF(call, struct forgetting, call);
    if (call->error != ERR_OK || atomic_load(&forgetting->events->is_stopped)) {
        end_forgetting(forgetting, ERR_STORE_UNAVAILABLE);
        return;
    }
    forgetting->asked->is_in_use = is_in_use(forgetting);
    if (forgetting->asked->is_in_use) {
        end_forgetting(forgetting, ERR_CONFLICT);
        return;
    }
    call->on_done = on_forgotten;
    consumers_ask(forgetting->events, call, PARTITIONS_ALL, CONSUMERS_REMOVE);
}

/* None that pulls has the name: is it an endpoint's? */
static void forget_webhook(struct forgetting *forgetting)
{
    struct gateway_event_forget *asked = forgetting->asked;
    asked->is_in_use = webhooks_have(forgetting->events->webhooks, asked->consumer);
    if (asked->is_in_use || atomic_load(&forgetting->events->is_stopped)) {
        end_forgetting(forgetting, asked->is_in_use ? ERR_CONFLICT : ERR_STORE_UNAVAILABLE);
        return;
    }
    forgetting->call.key = consumer_key_of(STORE_WEBHOOK, asked->consumer);
    forgetting->call.on_done = on_webhook_listed;
    consumers_ask(forgetting->events, &forgetting->call, 1u << WEBHOOK_LIFE_PARTITION,
                  CONSUMERS_LIST);
}

static void on_pull_forgotten(struct consumers_call *call)
{
    struct forgetting *forgetting = CONTAINER_OF(call, struct forgetting, call);
    event_resets_forget(forgetting->events->resets, forgetting->asked->consumer);
    if (call->error != ERR_OK || call->changed != 0)
        end_forgetting(forgetting, call->error);
    else
        forget_webhook(forgetting);
}

void gateway_event_forget(struct node *node, struct gateway_event_forget *asked)
{
    struct forgetting *forgetting = NULL;
    asked->is_in_use = false;
    asked->error = node->events == NULL ? ERR_CONFLICT : ERR_NO_MEMORY;
    if (node->events != NULL)
        forgetting = calloc(1, sizeof *forgetting);
    if (forgetting == NULL) {
        asked->on_done(asked);
        return;
    }
    forgetting->events = node->events;
    forgetting->asked = asked;
    forgetting->call.key = consumer_key_of(STORE_PULL, asked->consumer);
    forgetting->call.on_done = on_pull_forgotten;
    consumers_ask(node->events, &forgetting->call, PARTITIONS_ALL, CONSUMERS_REMOVE);
}
