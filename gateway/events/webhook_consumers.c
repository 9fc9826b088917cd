/* An endpoint is a consumer of all partitions. It is added to them one after the other; where one
 * is away the next has its turn, and the first that has no room refuses the endpoint. One that
 * leaves is removed from the last partition to the first, so that it is found again if the process
 * ends in between. The store's answers are asked for anew until they come.
 *
 * A consumer is forgotten when it was not seen for 30 days, so each is added again once a day.
 * Nodes that share a store do so each WEBHOOK_LIFE_MS in one partition: an endpoint that leaves
 * this node's file is removed when nobody has done it for WEBHOOK_LIFE_OVER_MS. So a file that does
 * not reach all nodes at once costs the endpoint neither its position nor events; the last node
 * that takes it out removes it. */
#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/events/event_consumers.h"
#include "gateway/events/webhook_parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    SOON_MS = 100, /* the store has not answered yet since the start, or others make room */
    LATER_MS = 1000,
    LOOK_MS = 5000, /* does another node's file have it? */
    KEEP_MS = 24 * 60 * 60 * 1000,
};

static struct timers *timers_of(struct webhook *webhook)
{
    return webhook_sender_timers(webhook->webhooks->sender);
}

static void ask_again_in(struct webhook *webhook, int64_t wait_ms)
{
    if (!webhook->webhooks->is_stopping)
        timer_set(timers_of(webhook), &webhook->call_timer, clock_monotonic_ms() + wait_ms);
}

static void ask_again_later(struct webhook *webhook)
{
    const struct node *node = webhooks_node(webhook->webhooks);
    bool is_away = atomic_load(&node->was_store_up) && webhook->call.error != ERR_CONFLICT;
    bool is_watched = webhook->call.error == ERR_CONFLICT && store_is_shared(node->store);
    ask_again_in(webhook, is_away || is_watched ? LATER_MS : SOON_MS);
}

static void remove_leaving(struct webhooks *webhooks)
{
    LIST_FOR_EACH_SAFE(link, &webhooks->list)
    {
        struct webhook *webhook = CONTAINER_OF(link, struct webhook, link);
        if (!webhook->is_leaving || webhook->is_gone)
            continue;
        webhook_remove_consumers(webhook);
        webhooks->on_idle(webhook);
    }
}

/* Once every endpoint has its consumers, or is refused, the node may be ready, and those that leave
 * may go. */
void webhooks_note_settled(struct webhooks *webhooks)
{
    bool are_all = true;
    pthread_mutex_lock(&webhooks->lock);
    LIST_FOR_EACH(link, &webhooks->list)
    {
        const struct webhook *webhook = CONTAINER_OF(link, struct webhook, link);
        are_all = are_all && (webhook->is_settled || webhook->is_leaving);
    }
    webhooks->are_settled = webhooks->are_settled || are_all;
    if (webhooks->are_settled)
        atomic_store(&webhooks->events->node->awaits_webhooks, false);
    pthread_cond_broadcast(&webhooks->changed);
    pthread_mutex_unlock(&webhooks->lock);
    if (are_all)
        remove_leaving(webhooks);
}

static void note_settled(struct webhook *webhook)
{
    webhook->is_settled = true;
    webhooks_note_settled(webhook->webhooks);
}

/* ---- one request ---- */

static void on_called(struct store_request *request)
{
    struct store_consumers *call = CONTAINER_OF(request, struct store_consumers, request);
    struct webhook *webhook = CONTAINER_OF(call, struct webhook, call);
    mailbox_post(webhook_sender_mailbox(webhook->webhooks->sender), &webhook->call_letter);
}

static void call_store(struct webhook *webhook, unsigned partition,
                       enum store_consumers_action action, void (*deliver)(struct letter *letter))
{
    const struct node *node = webhooks_node(webhook->webhooks);
    webhook->call = (struct store_consumers){
        .request = {.on_done = on_called, .lane = store_partition_lane(partition, node->n_workers)},
        .partition = partition,
        .action = action,
        .key = webhook_key(webhook),
        .from_now = webhook->config->line.from_now && !webhook->runs[partition].was_added,
    };
    webhook->call_letter.deliver = deliver;
    webhook->is_calling = true;
    webhooks_begin_work(webhook->webhooks);
    store_consumers(node->store, &webhook->call);
}

/* ---- adding ---- */

/* "pull a, b; webhooks c": who the consumers are that leave no room. */
static void describe_consumers(const struct store_consumers *call, char *out, size_t cap)
{
    static const struct {
        char kind;
        const char *title;
    } kinds[] = {{STORE_PULL, "GET /events: "}, {STORE_WEBHOOK, "webhooks: "}};
    size_t len = 0;
    out[0] = '\0';
    for (size_t kind = 0; kind < 2; kind++) {
        bool is_first = true;
        for (size_t i = 0; i < call->n && len < cap; i++) {
            const struct store_consumer *consumer = &call->list[i];
            if (consumer->key_len < 1 || consumer->key[0] != kinds[kind].kind)
                continue;
            const char *before = !is_first ? ", " : len > 0 ? "; " : "";
            len += (size_t)snprintf(out + len, cap - len, "%s%s%.*s", before,
                                    is_first ? kinds[kind].title : "", consumer->key_len - 1,
                                    consumer->key + 1);
            is_first = false;
        }
    }
}

static void refuse_webhook(struct webhook *webhook)
{
    struct webhooks *webhooks = webhook->webhooks;
    char names[900];
    webhook->is_refused = true;
    describe_consumers(&webhook->call, names, sizeof names);
    log_event(LOG_ERROR, "webhook refused: there are 15 consumers already",
              LOG_TEXT("webhook", webhook->config->line.name), LOG_TEXT("consumers", names));
    pthread_mutex_lock(&webhooks->lock);
    if (webhooks->conflict[0] == '\0')
        snprintf(webhooks->conflict, sizeof webhooks->conflict,
                 "--webhooks: %s: there are 15 consumers of events already (%s)",
                 webhook->config->line.name, names);
    pthread_mutex_unlock(&webhooks->lock);
    note_settled(webhook);
}

/* Do others leave? */
static bool is_room_coming(const struct webhooks *webhooks)
{
    LIST_FOR_EACH(link, &webhooks->list)
    {
        const struct webhook *webhook = CONTAINER_OF(link, struct webhook, link);
        if (webhook->is_leaving && !webhook->is_gone)
            return true;
    }
    return false;
}

static void take_added(struct webhook_run *run, const struct store_consumers *call)
{
    bool was_gone = run->was_added && (call->is_changed || !run->is_added);
    run->is_added = true;
    run->was_added = true;
    run->kept_ms = clock_monotonic_ms();
    if (epoch_is_none(run->told_epoch))
        run->told_epoch = call->epoch;
    if (was_gone)
        webhook_run_rejoin(run, call->epoch);
}

static void deliver_added(struct letter *letter)
{
    struct webhook *webhook = CONTAINER_OF(letter, struct webhook, call_letter);
    struct webhooks *webhooks = webhook->webhooks;
    struct webhook_run *run = &webhook->runs[webhook->call.partition];
    webhook->is_calling = false;
    if (webhook->is_leaving) { /* it may be freed in this */
        webhooks_end_work(webhooks);
        webhooks_note_settled(webhooks);
        return;
    }
    if (webhook->call.error == ERR_CONFLICT && !is_room_coming(webhooks)) {
        refuse_webhook(webhook);
    } else if (webhook->call.error == ERR_CONFLICT) {
        remove_leaving(webhooks); /* it needs the place of one that leaves */
        ask_again_later(webhook);
    } else if (webhook->call.error != ERR_OK) { /* a part of the store may be away */
        webhook->asked_next = (webhook->call.partition + 1) % STORE_PARTITIONS;
        ask_again_later(webhook);
    } else {
        take_added(run, &webhook->call);
        webhook_add_consumers(webhook);
        webhook_run_go(run);
    }
    webhooks_end_work(webhooks);
    webhook->webhooks->on_idle(webhook);
}

/* In how long a partition has to hear of the consumer again; 0: now. */
static int64_t due_in_ms(const struct webhook *webhook, unsigned partition, int64_t now_ms)
{
    const struct webhook_run *run = &webhook->runs[partition];
    bool shows_life = partition == WEBHOOK_LIFE_PARTITION &&
                      store_is_shared(webhooks_node(webhook->webhooks)->store);
    int64_t at_ms = run->kept_ms + (shows_life ? WEBHOOK_LIFE_MS : KEEP_MS);
    return run->is_added && at_ms > now_ms ? at_ms - now_ms : 0;
}

void webhook_add_consumers(struct webhook *webhook)
{
    int64_t now_ms = clock_monotonic_ms();
    int64_t wait_ms = KEEP_MS;
    if (webhook->is_calling || webhook->is_refused || webhook->webhooks->is_stopping)
        return;
    for (unsigned i = 0; i < STORE_PARTITIONS; i++) {
        unsigned partition = (webhook->asked_next + i) % STORE_PARTITIONS;
        int64_t in_ms = due_in_ms(webhook, partition, now_ms);
        if (in_ms == 0) {
            call_store(webhook, partition, CONSUMERS_ADD, deliver_added);
            return;
        }
        wait_ms = in_ms < wait_ms ? in_ms : wait_ms;
    }
    ask_again_in(webhook, wait_ms);
    if (!webhook->is_settled)
        note_settled(webhook);
}

/* ---- removing ---- */

static void note_left(struct webhook *webhook)
{
    char event[WEBHOOK_NAME_MAX_BYTES + 64];
    snprintf(event, sizeof event, "webhook %s left, %" PRIu64 " events unread",
             webhook->config->line.name, webhook->n_unread);
    log_event(LOG_INFO, event, LOG_TEXT("webhook", webhook->config->line.name),
              LOG_INT("unread", webhook->n_unread));
}

static void deliver_removed(struct letter *letter)
{
    struct webhook *webhook = CONTAINER_OF(letter, struct webhook, call_letter);
    struct webhooks *webhooks = webhook->webhooks;
    webhook->is_calling = false;
    if (webhook->call.error != ERR_OK) {
        ask_again_later(webhook);
    } else {
        webhook->n_unread += webhook->call.unread;
        webhook->n_removed++;
        webhook_remove_consumers(webhook);
    }
    webhooks_end_work(webhooks);
    webhook->webhooks->on_idle(webhook);
}

/* ---- whether another node has it ---- */

static void begin_watch(struct webhook *webhook, int64_t seen_ms)
{
    webhook->watched_ms = clock_monotonic_ms();
    webhook->seen_ms = seen_ms;
    ask_again_in(webhook, LOOK_MS);
}

/* What this node itself has written of it came before the watch. */
static void take_seen(struct webhook *webhook, int64_t seen_ms)
{
    if (webhook->watched_ms == 0) {
        begin_watch(webhook, seen_ms);
    } else if (seen_ms != webhook->seen_ms) {
        webhook->is_gone = true;
        log_event(LOG_INFO, "a webhook that left this node's file stays: another node's has it",
                  LOG_TEXT("webhook", webhook->config->line.name));
    } else if (clock_monotonic_ms() - webhook->watched_ms < WEBHOOK_LIFE_OVER_MS) {
        ask_again_in(webhook, LOOK_MS);
    } else {
        webhook->is_unused = true;
        webhook_remove_consumers(webhook);
    }
}

static void deliver_watched(struct letter *letter)
{
    struct webhook *webhook = CONTAINER_OF(letter, struct webhook, call_letter);
    struct webhooks *webhooks = webhook->webhooks;
    const struct store_consumers *call = &webhook->call;
    const struct store_consumer *found = NULL;
    webhook->is_calling = false;
    for (size_t i = 0; call->error == ERR_OK && i < call->n; i++) {
        struct span key = {call->list[i].key, call->list[i].key_len};
        found = span_equal(key, webhook_key(webhook)) ? &call->list[i] : found;
    }
    if (call->error != ERR_OK) { /* others could not show it either */
        webhook->watched_ms = 0;
        ask_again_later(webhook);
    } else if (found != NULL) {
        take_seen(webhook, found->seen_ms);
    } else {
        webhook->is_unused = true;
        webhook_remove_consumers(webhook);
    }
    webhooks_end_work(webhooks);
    webhooks->on_idle(webhook);
}

static bool is_busy(const struct webhook *webhook)
{
    for (unsigned i = 0; i < STORE_PARTITIONS; i++) {
        if (webhook_run_is_busy(&webhook->runs[i]))
            return true;
    }
    return false;
}

static void watch_webhook(struct webhook *webhook)
{
    if (is_busy(webhook))
        ask_again_in(webhook, SOON_MS);
    else
        call_store(webhook, WEBHOOK_LIFE_PARTITION, CONSUMERS_LIST, deliver_watched);
}

void webhook_remove_consumers(struct webhook *webhook)
{
    bool is_shared = store_is_shared(webhooks_node(webhook->webhooks)->store);
    if (webhook->is_calling || webhook->webhooks->is_stopping)
        return;
    if (webhooks_find(webhook->webhooks, span_of(webhook->config->line.name)) != NULL) {
        webhook->is_gone = true; /* it is back, and adds what was removed */
    } else if (is_shared && !webhook->is_unused) {
        watch_webhook(webhook);
    } else if (webhook->n_removed == STORE_PARTITIONS) {
        webhook->is_gone = true;
        note_left(webhook);
    } else {
        call_store(webhook, STORE_PARTITIONS - 1 - webhook->n_removed, CONSUMERS_REMOVE,
                   deliver_removed);
    }
}

void webhook_on_call_timer(struct timer *timer)
{
    struct webhook *webhook = CONTAINER_OF(timer, struct webhook, call_timer);
    if (webhook->is_leaving)
        webhook_remove_consumers(webhook);
    else
        webhook_add_consumers(webhook);
    webhook->webhooks->on_idle(webhook);
}
