/* The endpoints of the file that is in use, and how one file follows another: an endpoint keeps its
 * position when its line changes, and is forgotten when its line is gone. The file is read by the
 * thread that reloads, and taken on the sender's. */
#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/events/webhook_parts.h"

#include <stdio.h>
#include <stdlib.h>

enum { LEFTOVERS_AGAIN_MS = 100 };

static struct webhook_config *new_config(const struct webhook_line *line)
{
    struct webhook_config *config = malloc(sizeof *config);
    if (config == NULL)
        return NULL;
    config->refs = 1;
    config->line = *line;
    return config;
}

/* ---- endpoints ---- */

/* NULL: out of memory. */
static struct webhook *add_webhook(struct webhooks *webhooks, const struct webhook_line *line)
{
    struct webhook *webhook = calloc(1, sizeof *webhook);
    struct webhook_config *config = new_config(line);
    if (webhook == NULL || config == NULL) {
        free(webhook);
        free(config);
        return NULL;
    }
    webhook->webhooks = webhooks;
    webhook->config = config;
    webhook->key[0] = STORE_WEBHOOK;
    memcpy(webhook->key + 1, line->name, strlen(line->name));
    webhook->key_len = 1 + strlen(line->name);
    timer_init(&webhook->call_timer, webhook_on_call_timer);
    for (unsigned i = 0; i < STORE_PARTITIONS; i++)
        webhook_run_init(&webhook->runs[i], webhook, i);
    pthread_mutex_lock(&webhooks->lock);
    list_append(&webhooks->list, &webhook->link);
    pthread_mutex_unlock(&webhooks->lock);
    return webhook;
}

static bool add_leaving(struct webhooks *webhooks, struct span name)
{
    struct webhook_line line = {.batch = 1};
    if (name.len > WEBHOOK_NAME_MAX_BYTES)
        return true;
    memcpy(line.name, name.bytes, name.len);
    struct webhook *webhook = add_webhook(webhooks, &line);
    if (webhook == NULL)
        return false;
    webhook->is_leaving = true;
    atomic_store(&webhook->is_hidden, true);
    return true;
}

static bool is_webhook_busy(const struct webhook *webhook)
{
    bool is_busy = webhook->is_calling || webhook->n_tests > 0;
    for (unsigned i = 0; i < STORE_PARTITIONS; i++)
        is_busy = is_busy || webhook_run_is_busy(&webhook->runs[i]);
    return is_busy;
}

void webhook_free(struct webhook *webhook)
{
    struct webhooks *webhooks = webhook->webhooks;
    pthread_mutex_lock(&webhooks->lock);
    list_remove(&webhook->link);
    pthread_mutex_unlock(&webhooks->lock);
    for (unsigned i = 0; i < STORE_PARTITIONS; i++)
        webhook_run_fini(&webhook->runs[i]);
    timer_cancel(webhook_sender_timers(webhooks->sender), &webhook->call_timer);
    webhook_config_unref(webhook->config);
    free(webhook);
}

void webhook_free_if_gone(struct webhook *webhook)
{
    if (webhook->is_gone && !is_webhook_busy(webhook))
        webhook_free(webhook);
}

/* Its consumers stay until those of the new endpoints are there (webhooks_note_settled). */
static void leave_webhook(struct webhook *webhook)
{
    webhook->is_leaving = true;
    atomic_store(&webhook->is_hidden, true);
    timer_cancel(webhook_sender_timers(webhook->webhooks->sender), &webhook->call_timer);
    for (unsigned i = 0; i < STORE_PARTITIONS; i++)
        webhook_run_cut(&webhook->runs[i]);
}

/* ---- the file ---- */

/* What waits is tried at once, whether its line has changed or not. */
static void renew_webhook(struct webhook *webhook, const struct webhook_line *line)
{
    struct webhook_config *config = new_config(line);
    if (config == NULL) {
        log_event(LOG_ERROR, "a webhook stays as it was: out of memory",
                  LOG_TEXT("webhook", line->name));
        return;
    }
    webhook_config_unref(webhook->config);
    webhook->config = config;
    atomic_store(&webhook->is_off, false);
    webhook->is_settled = webhook->is_settled && !webhook->is_refused;
    webhook->is_refused = false;
    for (unsigned i = 0; i < STORE_PARTITIONS; i++) {
        webhook_feed_set_batch(&webhook->runs[i].feed, line->batch);
        webhook_feed_hurry(&webhook->runs[i].feed);
        webhook_run_go(&webhook->runs[i]);
    }
    webhook_add_consumers(webhook);
}

static void take_line(struct webhooks *webhooks, const struct webhook_line *line)
{
    struct webhook *webhook = webhooks_find(webhooks, span_of(line->name));
    if (webhook != NULL) {
        renew_webhook(webhook, line);
        return;
    }
    webhook = add_webhook(webhooks, line);
    if (webhook != NULL)
        webhook_add_consumers(webhook);
    else
        log_event(LOG_ERROR, "a webhook cannot be served: out of memory",
                  LOG_TEXT("webhook", line->name));
}

/* New endpoints get what those that leave have not read: an event stays as long as one consumer has
 * not read it, so the new ones are added before the others are removed. */
void webhooks_take_file(struct webhooks *webhooks, const struct webhook_file *file)
{
    LIST_FOR_EACH_SAFE(link, &webhooks->list)
    {
        struct webhook *webhook = CONTAINER_OF(link, struct webhook, link);
        struct span name = span_of(webhook->config->line.name);
        if (!webhook->is_leaving && webhook_file_find(file, name) == NULL)
            leave_webhook(webhook);
    }
    for (size_t i = 0; i < file->n; i++)
        take_line(webhooks, &file->lines[i]);
    webhooks_note_settled(webhooks);
}

enum err webhooks_read_file(struct watched_file *watched, struct webhook_file **ret_file, char *why,
                            size_t why_cap)
{
    struct buf text;
    buf_init(&text, WATCHED_FILE_MAX_BYTES);
    enum err error = watched_file_read(watched, &text, why, why_cap);
    if (error == ERR_OK)
        error = webhook_file_read(buf_span(&text), watched->path, ret_file, why, why_cap);
    whole_file_wipe(&text);
    return error;
}

void webhooks_warn_if_public(const struct webhooks *webhooks)
{
    if (watched_file_is_public(&webhooks->file))
        log_event(LOG_WARN, "everybody on this machine can read the webhooks' secrets: chmod 600",
                  LOG_TEXT("path", webhooks->file.path));
}

void webhooks_warn_of_types(const struct events *events, const struct webhook_file *file)
{
    const unsigned all = (1u << EVENT_TYPES) - 1;
    for (size_t i = 0; i < file->n; i++) {
        const struct webhook_line *line = &file->lines[i];
        unsigned lacking = line->types & ~(events->types | EVENT_BIT(EVENT_GAP));
        for (unsigned type = 0; line->types != all && type < EVENT_TYPES; type++)
            if ((lacking & EVENT_BIT(type)) != 0)
                log_event(LOG_WARN, "a webhook asks for events that --events does not keep",
                          LOG_TEXT("webhook", line->name),
                          LOG_TEXT("type", event_type_text((enum event_type)type)));
    }
}

/* Other threads look into it under the lock. */
void webhooks_drop_first(struct webhooks *webhooks)
{
    pthread_mutex_lock(&webhooks->lock);
    webhook_file_free(webhooks->first);
    webhooks->first = NULL;
    pthread_mutex_unlock(&webhooks->lock);
}

/* ---- what earlier files have left ---- */

/* This process alone uses a local store, so what its file does not name is nobody's. Other nodes
 * that share a store may have a newer file. */
static void take_leftover(struct webhooks *webhooks, struct span name)
{
    if (store_is_shared(webhooks_node(webhooks)->store))
        log_event(
            LOG_WARN, "a webhook of the store is not in this node's file",
            LOG_SPAN("webhook", name),
            LOG_TEXT("advice", "if no other node's file has it: DELETE /events/consumers/NAME"));
    else if (!add_leaving(webhooks, name))
        log_event(LOG_ERROR, "a webhook that left cannot be forgotten: out of memory",
                  LOG_SPAN("webhook", name));
}

static bool is_in_file(struct webhooks *webhooks, struct span name)
{
    if (webhooks->first != NULL)
        return webhook_file_find(webhooks->first, name) != NULL;
    return webhooks_find(webhooks, name) != NULL;
}

/* What the store has of earlier files leaves like what has left the file in use. */
static void deliver_leftovers(struct letter *letter)
{
    struct webhooks *webhooks = CONTAINER_OF(letter, struct webhooks, leftovers_letter);
    const struct store_consumers *call = &webhooks->leftovers;
    if (call->error != ERR_OK && !webhooks->is_stopping)
        timer_set(webhook_sender_timers(webhooks->sender), &webhooks->leftovers_timer,
                  clock_monotonic_ms() + LEFTOVERS_AGAIN_MS);
    for (size_t i = 0; call->error == ERR_OK && !webhooks->is_stopping && i < call->n; i++) {
        const struct store_consumer *consumer = &call->list[i];
        struct span name = {consumer->key + 1, (size_t)consumer->key_len - 1};
        if (consumer->key_len > 1 && consumer->key[0] == STORE_WEBHOOK &&
            !is_in_file(webhooks, name))
            take_leftover(webhooks, name);
    }
    if (call->error == ERR_OK && webhooks->first != NULL && !webhooks->is_stopping) {
        webhooks_take_file(webhooks, webhooks->first);
        webhooks_drop_first(webhooks);
    } else if (call->error == ERR_OK && !webhooks->is_stopping) {
        webhooks_note_settled(webhooks); /* a reload has come before: what leaves may go */
    }
    webhooks_end_work(webhooks);
}

static void on_leftovers(struct store_request *request)
{
    struct store_consumers *call = CONTAINER_OF(request, struct store_consumers, request);
    struct webhooks *webhooks = CONTAINER_OF(call, struct webhooks, leftovers);
    webhooks_post(webhooks, &webhooks->leftovers_letter, deliver_leftovers);
}

static void find_leftovers(struct webhooks *webhooks)
{
    webhooks->leftovers = (struct store_consumers){.request = {.on_done = on_leftovers, .lane = 0},
                                                   .action = CONSUMERS_LIST};
    webhooks_begin_work(webhooks);
    store_consumers(webhooks_node(webhooks)->store, &webhooks->leftovers);
}

void webhooks_on_leftovers_timer(struct timer *timer)
{
    find_leftovers(CONTAINER_OF(timer, struct webhooks, leftovers_timer));
}

/* What leaves makes room for what comes, so a local store is asked first who leaves. Of a shared
 * one nobody leaves at the start, and a part of it may be away while others are there. */
void webhooks_begin(struct webhooks *webhooks)
{
    if (store_is_shared(webhooks_node(webhooks)->store)) {
        webhooks_take_file(webhooks, webhooks->first);
        webhooks_drop_first(webhooks);
    }
    find_leftovers(webhooks);
}
