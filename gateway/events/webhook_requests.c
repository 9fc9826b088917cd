/* Both requests come to the sender's thread as letters. A list shows first what is known there, and
 * then asks the store for the lags, one partition after the other, because other nodes move
 * positions too. A test is a request like those of the runs, with a body that nobody keeps. */
#include "gateway/events/webhook_requests.h"

#include "gateway/base/clock.h"
#include "gateway/events/webhook_parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

static const char *const state_texts[WEBHOOK_STATES] = {
#define X(name, text) [WEBHOOK_STATE_##name] = text,
    WEBHOOK_STATES_LIST(X)
#undef X
};

const char *webhook_state_text(enum webhook_state state)
{
    return state_texts[state];
}

/* ---- the list ---- */

/* The partitions are asked one after the other for the lags of all consumers. */
struct webhook_lags {
    struct store_consumers call;
    struct letter letter;
    struct webhooks_list *list;
};

static enum webhook_state state_of(const struct webhook *webhook)
{
    if (webhook->is_refused)
        return WEBHOOK_STATE_REFUSED;
    if (!webhook->is_settled)
        return WEBHOOK_STATE_STARTING;
    if (atomic_load(&webhook->is_off))
        return WEBHOOK_STATE_OFF;
    if (webhook->last_ms == 0)
        return WEBHOOK_STATE_IDLE;
    unsigned served = atomic_load(&webhook->webhooks->served);
    for (unsigned i = 0; i < STORE_PARTITIONS; i++) {
        if ((served & 1u << i) != 0 && webhook->runs[i].feed.failures > 0)
            return WEBHOOK_STATE_FAILING;
    }
    return WEBHOOK_STATE_OK;
}

static void show_origin(const char *url, char out[WEBHOOK_SHOWN_ORIGIN_BYTES])
{
    const char *host = strstr(url, "://") + 3;
    int len = (int)(host - url) + (int)strcspn(host, "/?");
    snprintf(out, WEBHOOK_SHOWN_ORIGIN_BYTES, "%.*s", len, url);
}

static void show_attempts(const struct webhooks *webhooks, const struct webhook *webhook,
                          struct webhook_shown *shown)
{
    int64_t monotonic_ms = clock_monotonic_ms();
    int64_t next_ms = INT64_MAX;
    unsigned served = atomic_load(&webhooks->served);
    for (unsigned i = 0; i < STORE_PARTITIONS; i++) {
        const struct webhook_feed *feed = &webhook->runs[i].feed;
        if ((served & 1u << i) == 0)
            continue;
        shown->partitions++;
        if (feed->failures > shown->failures)
            shown->failures = feed->failures;
        if (feed->failures > 0 && webhook->runs[i].state != RUN_SENDING && feed->next_ms < next_ms)
            next_ms = feed->next_ms;
    }
    if (next_ms != INT64_MAX && shown->state == WEBHOOK_STATE_FAILING)
        shown->next_attempt_ms =
            clock_wall_ms() + (next_ms > monotonic_ms ? next_ms - monotonic_ms : 0);
}

static void show_webhook(const struct webhook *webhook, struct webhook_shown *shown)
{
    *shown = (struct webhook_shown){
        .state = state_of(webhook),
        .last_status = webhook->last_status,
        .last_ms = webhook->last_ms,
    };
    snprintf(shown->name, sizeof shown->name, "%s", webhook->config->line.name);
    snprintf(shown->last_error, sizeof shown->last_error, "%s", webhook->last_error);
    show_origin(webhook->config->line.url, shown->origin);
    show_attempts(webhook->webhooks, webhook, shown);
}

static void ask_for_lags(struct webhook_lags *lags, unsigned partition);

static void add_lags(struct webhooks_list *list, const struct store_consumers *call, int64_t now_ms)
{
    for (size_t i = 0; i < list->n; i++) {
        struct webhook_shown *shown = &list->shown[i];
        for (size_t j = 0; j < call->n; j++) {
            const struct store_consumer *consumer = &call->list[j];
            struct span name = {consumer->key + 1, consumer->key_len - 1u};
            if (consumer->key_len < 2 || consumer->key[0] != STORE_WEBHOOK ||
                !span_equal(name, span_of(shown->name)))
                continue;
            shown->lag += consumer->lag;
            int64_t age_ms = consumer->oldest_ms == 0 ? 0 : now_ms - consumer->oldest_ms;
            if (age_ms > shown->lag_ms)
                shown->lag_ms = age_ms;
        }
    }
}

static void end_list(struct webhook_lags *lags, bool has_lags)
{
    struct webhooks_list *list = lags->list;
    struct webhooks *webhooks = list->webhooks;
    free(lags);
    list->has_lags = has_lags;
    list->on_done(list);
    webhooks_end_work(webhooks);
}

static void deliver_lags(struct letter *letter)
{
    struct webhook_lags *lags = CONTAINER_OF(letter, struct webhook_lags, letter);
    struct webhooks_list *list = lags->list;
    const struct store *store = webhooks_node(list->webhooks)->store;
    unsigned partition = lags->call.partition;
    if (lags->call.error != ERR_OK || list->webhooks->is_stopping) {
        end_list(lags, false);
        return;
    }
    add_lags(list, &lags->call, store_now_of(store, store_partition_user(partition)));
    if (partition + 1 == STORE_PARTITIONS)
        end_list(lags, true);
    else
        ask_for_lags(lags, partition + 1);
}

static void on_lags(struct store_request *request)
{
    struct store_consumers *call = CONTAINER_OF(request, struct store_consumers, request);
    struct webhook_lags *lags = CONTAINER_OF(call, struct webhook_lags, call);
    webhooks_post(lags->list->webhooks, &lags->letter, deliver_lags);
}

static void ask_for_lags(struct webhook_lags *lags, unsigned partition)
{
    const struct node *node = webhooks_node(lags->list->webhooks);
    lags->call = (struct store_consumers){
        .request = {.on_done = on_lags, .lane = store_partition_lane(partition, node->n_workers)},
        .partition = partition,
        .action = CONSUMERS_LIST,
    };
    store_consumers(node->store, &lags->call);
}

static void deliver_list(struct letter *letter)
{
    struct webhooks_list *list = CONTAINER_OF(letter, struct webhooks_list, letter);
    struct webhooks *webhooks = list->webhooks;
    struct webhook_lags *lags = webhooks->is_stopping ? NULL : calloc(1, sizeof *lags);
    if (lags == NULL) {
        list->error = webhooks->is_stopping ? ERR_DRAINING : ERR_NO_MEMORY;
        list->on_done(list);
        return;
    }
    LIST_FOR_EACH(link, &webhooks->list)
    {
        const struct webhook *webhook = CONTAINER_OF(link, struct webhook, link);
        if (!webhook->is_leaving && list->n < WEBHOOKS_SHOWN_MAX)
            show_webhook(webhook, &list->shown[list->n++]);
    }
    lags->list = list;
    webhooks_begin_work(webhooks);
    ask_for_lags(lags, 0);
}

void webhooks_list(struct node *node, struct webhooks_list *list)
{
    list->n = 0;
    list->error = ERR_OK;
    list->has_lags = false;
    list->webhooks = node->events == NULL ? NULL : node->events->webhooks;
    if (list->webhooks == NULL)
        list->on_done(list);
    else
        webhooks_post(list->webhooks, &list->letter, deliver_list);
}

/* ---- the test ---- */

struct webhook_test_call {
    struct webhook_request request;
    struct list link; /* in webhooks->tests, while it is under way */
    struct webhook_test *test;
    struct webhook *webhook;
    struct webhook_config *config;
    struct buf body;
};

static void end_test(struct webhook_test *test, enum err error)
{
    struct webhook_test_call *call = test->call;
    if (call != NULL) {
        webhook_config_unref(call->config);
        buf_fini(&call->body);
        free(call);
    }
    test->call = NULL;
    test->error = error;
    test->on_done(test);
}

static void on_tested(struct webhook_request *request)
{
    struct webhook_test_call *call = CONTAINER_OF(request, struct webhook_test_call, request);
    struct webhook_test *test = call->test;
    struct webhook *webhook = call->webhook;
    struct webhooks *webhooks = webhook->webhooks;
    list_remove(&call->link);
    test->status = request->answer.status;
    test->took_ms = request->answer.took_ms;
    test->body_len = request->answer.body_len;
    snprintf(test->failure, sizeof test->failure, "%s", request->answer.error);
    end_test(test, ERR_OK);
    webhook->n_tests--;
    webhooks_end_work(webhooks);
    webhooks->on_idle(webhook);
}

static enum err write_test(struct webhook_test_call *call, int64_t now_ms)
{
    uint32_t random = (uint32_t)webhooks_random(call->webhook->webhooks);
    snprintf(call->request.id, sizeof call->request.id, "evt_test_%" PRId64 "_%08" PRIx32, now_ms,
             random);
    return buf_printf(&call->body,
                      "{\"events\":[{\"id\":\"test-%" PRId64 "-%08" PRIx32
                      "\",\"type\":\"test\",\"time\":%" PRId64 ",\"webhook\":\"%s\"}]}",
                      now_ms, random, now_ms, call->config->line.name);
}

static enum err send_test(struct webhook_test *test, struct webhook *webhook)
{
    struct webhook_test_call *call = calloc(1, sizeof *call);
    if (call == NULL)
        return ERR_NO_MEMORY;
    test->call = call;
    call->test = test;
    call->webhook = webhook;
    call->config = webhook_config_ref(webhook->config);
    buf_init(&call->body, 512);
    enum err error = write_test(call, clock_wall_ms());
    if (error != ERR_OK)
        return error;
    webhook_fill_request(webhook->webhooks, call->config, &call->request);
    if (call->request.timeout_ms > WEBHOOK_TEST_MAX_MS)
        call->request.timeout_ms = WEBHOOK_TEST_MAX_MS;
    call->request.on_done = on_tested;
    call->request.body = buf_span(&call->body);
    call->request.answer.body = test->body;
    error = webhook_sender_send(webhook->webhooks->sender, &call->request);
    if (error != ERR_OK)
        return error;
    list_append(&webhook->webhooks->tests, &call->link);
    webhook->n_tests++;
    webhooks_begin_work(webhook->webhooks);
    return ERR_OK;
}

void webhooks_cut_tests(struct webhooks *webhooks)
{
    LIST_FOR_EACH(link, &webhooks->tests)
    {
        struct webhook_test_call *call = CONTAINER_OF(link, struct webhook_test_call, link);
        webhook_sender_cut(webhooks->sender, &call->request);
    }
}

static void deliver_test(struct letter *letter)
{
    struct webhook_test *test = CONTAINER_OF(letter, struct webhook_test, letter);
    struct webhooks *webhooks = test->webhooks;
    struct webhook *webhook = webhooks_find(webhooks, test->name);
    enum err error = ERR_NOT_FOUND;
    if (webhooks->is_stopping)
        error = ERR_DRAINING;
    else if (webhook != NULL)
        error = send_test(test, webhook);
    if (error != ERR_OK)
        end_test(test, error);
}

void webhooks_test(struct node *node, struct webhook_test *test)
{
    test->call = NULL;
    test->body_len = 0;
    test->failure[0] = '\0';
    test->webhooks = node->events == NULL ? NULL : node->events->webhooks;
    if (test->webhooks == NULL) {
        test->error = ERR_NOT_FOUND;
        test->on_done(test);
    } else {
        webhooks_post(test->webhooks, &test->letter, deliver_test);
    }
}
