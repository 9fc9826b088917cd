/* A message is made an event's data at once, so that only one copy of what the client sent is kept
 * while the store has it. The event log answers on some thread; the answer goes to the worker that
 * took the message by a letter. Letters of one thread arrive in their order, and a partition's
 * appends are answered by one thread, in theirs. */
#include "gateway/events/client_messages.h"

#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/base/metrics.h"
#include "gateway/events/event_log.h"
#include "gateway/events/message_rates.h"
#include "gateway/events/webhooks.h"
#include "gateway/node/client_message.h"
#include "gateway/store/store_event_request.h"

#include <stdio.h>
#include <stdlib.h>

struct client_messages {
    struct events *events;
    struct message_rates *rates;
    atomic_bool has_looked; /* it is known whether anybody reads them */
    atomic_bool is_looking; /* the next member is the store's */
    struct store_consumers consumers;
};

/* A message under way, in one block of memory but for its data. */
struct kept_message {
    struct client_message message; /* its texts are these */
    struct store_peek peek;        /* may_be_blocked */
    struct event_append append;
    struct letter letter;
    struct node *node;
    struct buf data; /* of the event */
    char texts[];    /* the userId, the client's id */
};

/* ---- is it allowed? ---- */

static bool takes_messages(const struct options *options)
{
    return options->client_messages != NULL && strcmp(options->client_messages, "off") != 0;
}

enum err client_messages_check(const struct options *options, unsigned types, char *why,
                               size_t why_cap)
{
    if (!takes_messages(options) || (types & EVENT_BIT(EVENT_MESSAGE)) != 0)
        return ERR_OK;
    snprintf(why, why_cap,
             "--client-messages %s needs --events client.message, which keeps the messages for the "
             "backends",
             options->client_messages);
    return ERR_INVALID_FIELD;
}

static enum err count_in_rate(struct client_messages *messages, struct span user_id)
{
    const struct options *options = messages->events->node->options;
    enum err error = message_rates_take(messages->rates, user_id, clock_monotonic_us(),
                                        options->client_messages_per_second);
    metrics_add(METRIC_LIMITED_CLIENT_MESSAGES, error == ERR_RATE);
    metrics_add(METRIC_LIMITED_MESSAGE_USERS, error == ERR_FULL);
    metrics_add(METRIC_MESSAGES_UNKEPT_MEMORY, error == ERR_NO_MEMORY);
    return error == ERR_FULL ? ERR_RATE : error;
}

/* An event that is longer than a partition may be would push out everything, and then itself. */
static bool is_too_large(const struct options *options, size_t data_len)
{
    return data_len > CLIENT_MESSAGE_MAX_BYTES ||
           (int64_t)data_len + EVENT_MESSAGE_EXTRA_MAX_BYTES > options->events_max_bytes;
}

/* ---- it is kept ---- */

static void count_unkept(enum err error)
{
    if (error == ERR_FULL)
        metrics_count(METRIC_MESSAGES_UNKEPT_FULL);
    else if (error == ERR_FORBIDDEN)
        metrics_count(METRIC_MESSAGES_UNKEPT_BLOCKED);
    else if (error == ERR_NO_MEMORY)
        metrics_count(METRIC_MESSAGES_UNKEPT_MEMORY);
    else
        metrics_count(METRIC_MESSAGES_UNKEPT_STORE);
}

static enum metric kept_metric(const struct event_message *said)
{
    if (said->connection == 0)
        return METRIC_MESSAGES_KEPT_HTTP;
    return said->client_id.len > 0 ? METRIC_MESSAGES_KEPT_V1 : METRIC_MESSAGES_KEPT_PLAIN;
}

static void free_kept(struct kept_message *kept)
{
    buf_fini(&kept->data);
    free(kept);
}

static void on_letter(struct letter *letter)
{
    struct kept_message *kept = CONTAINER_OF(letter, struct kept_message, letter);
    kept->message.on_answer(&kept->message, kept->append.error);
    free_kept(kept);
}

static void on_appended(struct event_append *append)
{
    struct kept_message *kept = CONTAINER_OF(append, struct kept_message, append);
    if (append->error != ERR_OK)
        count_unkept(append->error);
    else
        metrics_count(kept_metric(&kept->message.said));
    if (append->error == ERR_OK && kept->node->on_message_kept != NULL)
        kept->node->on_message_kept(kept->node, &kept->message.said);
    worker_post(kept->message.worker, &kept->letter, on_letter);
}

static struct span keep_text(char **at, struct span text)
{
    struct span kept = {*at, text.len};
    if (text.len > 0)
        memcpy(*at, text.bytes, text.len);
    *at += text.len;
    return kept;
}

/* NULL: out of memory. */
static struct kept_message *kept_new(struct node *node, const struct client_message *message)
{
    const struct event_message *said = &message->said;
    struct kept_message *kept = malloc(sizeof *kept + said->user_id.len + said->client_id.len);
    if (kept == NULL)
        return NULL;
    *kept = (struct kept_message){.message = *message, .node = node};
    buf_init(&kept->data, EVENT_MESSAGE_EXTRA_MAX_BYTES + said->data.len);
    if (event_write_message(&kept->data, said) != ERR_OK) {
        free_kept(kept);
        return NULL;
    }
    char *at = kept->texts;
    struct event_message *copy = &kept->message.said;
    copy->user_id = keep_text(&at, said->user_id);
    copy->client_id = keep_text(&at, said->client_id);
    copy->device = SPAN_NONE;
    copy->data = (struct span){kept->data.bytes + kept->data.len - 1 - said->data.len,
                               said->data.len}; /* before the brace */
    return kept;
}

static enum err append_kept(struct kept_message *kept)
{
    kept->append = (struct event_append){
        .on_done = on_appended,
        .user_id = kept->message.said.user_id,
        .data = buf_span(&kept->data),
        .is_bounded = true,
    };
    return event_log_append(kept->node->events->log, &kept->append);
}

/* A user who was kicked for a time is not only kept from connecting: what they say meanwhile is not
 * kept either. */
static void on_peeked(struct store_request *request)
{
    struct kept_message *kept = CONTAINER_OF(request, struct kept_message, peek.request);
    enum err error = kept->peek.error;
    if (error == ERR_OK && kept->peek.blocked_until_ms != 0)
        error = ERR_FORBIDDEN;
    if (error == ERR_OK)
        error = append_kept(kept);
    if (error == ERR_OK)
        return;
    kept->append.error = error;
    on_appended(&kept->append);
}

static void peek_and_append(struct kept_message *kept)
{
    struct span user_id = kept->message.said.user_id;
    kept->peek = (struct store_peek){
        .request = {.on_done = on_peeked, .lane = client_map_home(kept->node->map, user_id)},
        .user_id = user_id,
    };
    store_peek(kept->node->store, &kept->peek);
}

static enum err keep_message(struct client_messages *messages, const struct client_message *message)
{
    struct kept_message *kept = kept_new(messages->events->node, message);
    if (kept == NULL)
        return ERR_NO_MEMORY;
    if (message->may_be_blocked) {
        peek_and_append(kept);
        return ERR_OK;
    }
    enum err error = append_kept(kept);
    if (error != ERR_OK)
        free_kept(kept);
    return error;
}

static enum err take_message(struct node *node, const struct client_message *message)
{
    struct client_messages *messages = node->events->client_messages;
    if (is_too_large(node->options, message->said.data.len)) {
        metrics_count(METRIC_MESSAGES_UNKEPT_SIZE);
        return ERR_TOO_LARGE;
    }
    enum err error = count_in_rate(messages, message->said.user_id);
    if (error != ERR_OK)
        return error;
    error = keep_message(messages, message);
    if (error != ERR_OK)
        count_unkept(error);
    return error;
}

/* ---- does anybody read them? ---- */

static void on_consumers(struct store_request *request)
{
    struct client_messages *messages =
        CONTAINER_OF(request, struct client_messages, consumers.request);
    if (messages->consumers.error == ERR_OK) {
        if (messages->consumers.n == 0 && !webhooks_have(messages->events->webhooks, SPAN_NONE))
            log_event(LOG_WARN, "messages of clients are kept, and nobody reads them",
                      LOG_TEXT("advice", "GET /events?consumer=NAME, or --webhooks"));
        atomic_store(&messages->has_looked, true);
    }
    atomic_store(&messages->is_looking, false);
}

/* Consumers are in all partitions. While the store is away nobody knows them, and this is asked
 * again. */
static void look_for_consumers(struct client_messages *messages)
{
    struct node *node = messages->events->node;
    if (atomic_load(&messages->has_looked) || atomic_exchange(&messages->is_looking, true))
        return;
    messages->consumers = (struct store_consumers){
        .request = {.on_done = on_consumers, .lane = store_partition_lane(0, node->n_workers)},
        .action = CONSUMERS_LIST,
    };
    store_consumers(node->store, &messages->consumers);
}

/* ---- its life ---- */

enum err client_messages_new(struct events *events, struct client_messages **ret_messages)
{
    struct node *node = events->node;
    const struct options *options = node->options;
    if (!takes_messages(options))
        return ERR_OK;
    struct client_messages *messages = calloc(1, sizeof *messages);
    if (messages == NULL)
        return ERR_NO_MEMORY;
    messages->events = events;
    if (message_rates_new(&messages->rates) != ERR_OK) {
        free(messages);
        return ERR_NO_MEMORY;
    }
    atomic_init(&messages->has_looked, options->demo); /* --demo answers them */
    node->take_message = take_message;
    node->takes_plain_messages = strcmp(options->client_messages, "all") == 0;
    *ret_messages = messages;
    return ERR_OK;
}

void client_messages_free(struct client_messages *messages)
{
    if (messages == NULL)
        return;
    message_rates_free(messages->rates);
    free(messages);
}

void client_messages_on_second(struct client_messages *messages, const struct worker *worker)
{
    if (messages == NULL)
        return;
    if (worker->index == 0)
        look_for_consumers(messages);
    for (unsigned i = worker->index; i < MESSAGE_RATES_SHARDS; i += worker->node->n_workers)
        message_rates_sweep(messages->rates, i, clock_monotonic_us());
}
