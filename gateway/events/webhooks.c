/* Start: the file is read on the main thread, which also hands a file that was read again over to
 * the sender's thread; there each endpoint gets its consumers, and then its runs begin. News of
 * partitions (events, served or lost) comes from any thread as bits, and one letter for all of
 * them.
 *
 * Stop: nothing new is begun; what is under way has a moment, is cut, and has a moment again to
 * write its positions. What the store answers later is delivered by webhooks_close, and changes
 * nothing any more. */
#include "gateway/events/webhooks.h"

#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/base/metrics.h"
#include "gateway/base/reread.h"
#include "gateway/events/webhook_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* ---- the file ---- */

struct webhook_reload {
    struct letter letter;
    struct webhooks *webhooks;
    struct webhook_file *file;
};

static void deliver_reload(struct letter *letter)
{
    struct webhook_reload *reload = CONTAINER_OF(letter, struct webhook_reload, letter);
    if (!reload->webhooks->is_stopping)
        webhooks_take_file(reload->webhooks, reload->file);
    webhooks_drop_first(reload->webhooks);
    webhook_file_free(reload->file);
    free(reload);
}

bool webhooks_have(struct webhooks *webhooks, struct span name)
{
    bool has_it = false;
    if (webhooks == NULL)
        return false;
    pthread_mutex_lock(&webhooks->lock);
    LIST_FOR_EACH(link, &webhooks->list)
    {
        const struct webhook *webhook = CONTAINER_OF(link, struct webhook, link);
        bool is_named = name.len == 0 || span_equal(span_of(webhook->key + 1), name);
        has_it = has_it || (!atomic_load(&webhook->is_hidden) && is_named);
    }
    if (webhooks->first != NULL)
        has_it = name.len == 0 ? webhooks->first->n > 0
                               : webhook_file_find(webhooks->first, name) != NULL;
    pthread_mutex_unlock(&webhooks->lock);
    return has_it;
}

/* A file that has become empty may be one that is being written, or that a full disk has cut. */
void webhooks_reload(struct webhooks *webhooks, bool must)
{
    char why[1024];
    struct webhook_file *file;
    if (webhooks == NULL || !webhooks->is_started ||
        (!must && !watched_file_has_changed(&webhooks->file)))
        return;
    struct webhook_reload *reload = malloc(sizeof *reload);
    enum err error = reload == NULL ? ERR_NO_MEMORY
                                    : webhooks_read_file(&webhooks->file, &file, why, sizeof why);
    if (error != ERR_OK) {
        free(reload);
        log_event(LOG_ERROR, "the webhooks stay as they were",
                  LOG_TEXT("result", reread_name(REREAD_REFUSED)),
                  LOG_TEXT("why", reload == NULL ? "out of memory" : why));
        return;
    }
    if (file->n == 0 && webhooks->n_lines > 0 && !must) {
        log_event(LOG_WARN, "the webhooks' file is empty: they stay until SIGHUP says it is meant",
                  LOG_TEXT("path", webhooks->file.path));
        webhook_file_free(file);
        free(reload);
        return;
    }
    webhooks->n_lines = file->n;
    enum reread_result result =
        watched_file_take(&webhooks->file) ? REREAD_REPLACED : REREAD_UNCHANGED;
    log_event(LOG_INFO, "webhooks read again", LOG_TEXT("result", reread_name(result)),
              LOG_INT("webhooks", file->n));
    webhooks_warn_if_public(webhooks);
    webhooks_warn_of_types(webhooks->events, file);
    reload->webhooks = webhooks;
    reload->file = file;
    webhooks_post(webhooks, &reload->letter, deliver_reload);
}

static bool is_set(const char *option)
{
    return option != NULL && option[0] != '\0';
}

enum err webhooks_check(const struct options *options, unsigned types, char *why, size_t why_cap)
{
    struct watched_file watched = {.path = options->webhooks};
    struct webhook_file *file;
    char detail[900];
    if (is_set(options->webhook_proxy) && !webhook_proxy_is_valid(options->webhook_proxy)) {
        snprintf(why, why_cap, "--webhook-proxy: must be http://HOST:PORT, without user or path");
        return ERR_INVALID_FIELD;
    }
    if (!is_set(options->webhooks))
        return ERR_OK;
    enum err error = webhooks_read_file(&watched, &file, detail, sizeof detail);
    if (error != ERR_OK) {
        snprintf(why, why_cap, "--webhooks: %s", detail);
        return error == ERR_NO_MEMORY ? error : ERR_INVALID_FIELD;
    }
    webhook_file_free(file);
    if (types != 0)
        return ERR_OK;
    snprintf(why, why_cap, "--webhooks needs --events: without a type nothing is kept for them");
    return ERR_INVALID_FIELD;
}

/* ---- news ---- */

static void deliver_bell(struct letter *letter)
{
    struct webhooks *webhooks = CONTAINER_OF(letter, struct webhooks, bell);
    atomic_store(&webhooks->is_bell_posted, false);
    unsigned heard = atomic_exchange(&webhooks->heard, 0);
    LIST_FOR_EACH(link, &webhooks->list)
    {
        struct webhook *webhook = CONTAINER_OF(link, struct webhook, link);
        for (unsigned i = 0; i < STORE_PARTITIONS; i++) {
            if ((heard & 1u << i) == 0)
                continue;
            webhook->runs[i].has_events = true;
            webhook_run_go(&webhook->runs[i]);
        }
    }
}

static void ring_bell(struct webhooks *webhooks, unsigned partition)
{
    atomic_fetch_or(&webhooks->heard, 1u << partition);
    if (!atomic_exchange(&webhooks->is_bell_posted, true))
        webhooks_post(webhooks, &webhooks->bell, deliver_bell);
}

static void on_events(struct event_listener *listener, unsigned partition)
{
    ring_bell(CONTAINER_OF(listener, struct webhooks, event_listener), partition);
}

static void on_gained(struct serving_listener *listener, unsigned partition)
{
    struct webhooks *webhooks = CONTAINER_OF(listener, struct webhooks, serving_listener);
    atomic_fetch_or(&webhooks->served, 1u << partition);
    ring_bell(webhooks, partition);
}

static void on_lost(struct serving_listener *listener, unsigned partition)
{
    struct webhooks *webhooks = CONTAINER_OF(listener, struct webhooks, serving_listener);
    atomic_fetch_add(&webhooks->n_lost[partition], 1);
    atomic_fetch_and(&webhooks->served, ~(1u << partition));
}

/* ---- metrics ---- */

static enum err print_results(const struct webhook *webhook, struct buf *out)
{
    char labels[WEBHOOK_NAME_MAX_BYTES + 64];
    enum err error = ERR_OK;
    for (int i = 0; i < WEBHOOK_RESULTS && error == ERR_OK; i++) {
        snprintf(labels, sizeof labels, "endpoint=\"%s\",result=\"%s\"", webhook->key + 1,
                 webhook_result_text((enum webhook_result)i));
        error = metrics_print_line(out, FAMILY_WEBHOOK_REQUESTS, labels,
                                   (int64_t)atomic_load(&webhook->results[i]));
    }
    return error;
}

static enum err print_off(const struct webhook *webhook, struct buf *out)
{
    char labels[WEBHOOK_NAME_MAX_BYTES + 32];
    snprintf(labels, sizeof labels, "endpoint=\"%s\"", webhook->key + 1);
    return metrics_print_line(out, FAMILY_WEBHOOK_OFF, labels, atomic_load(&webhook->is_off));
}

/* The key is never changed, and has a NUL at its end. An endpoint that leaves has a namesake when
 * it comes back meanwhile. */
static enum err print_family(struct metrics_source *source, enum metric_family family,
                             struct buf *out)
{
    struct webhooks *webhooks = CONTAINER_OF(source, struct webhooks, source);
    enum err error = ERR_OK;
    pthread_mutex_lock(&webhooks->lock);
    LIST_FOR_EACH(link, &webhooks->list)
    {
        const struct webhook *webhook = CONTAINER_OF(link, struct webhook, link);
        if (error != ERR_OK || atomic_load(&webhook->is_hidden))
            continue;
        if (family == FAMILY_WEBHOOK_REQUESTS)
            error = print_results(webhook, out);
        else if (family == FAMILY_WEBHOOK_OFF)
            error = print_off(webhook, out);
    }
    pthread_mutex_unlock(&webhooks->lock);
    return error;
}

/* ---- life ---- */

static void on_tests_timer(struct timer *timer)
{
    webhooks_cut_tests(CONTAINER_OF(timer, struct webhooks, tests_timer));
}

enum err webhooks_new(struct events *events, struct webhooks **ret_webhooks, char *why,
                      size_t why_cap)
{
    const struct options *options = atomic_load(&events->node->options);
    char detail[900];
    *ret_webhooks = NULL;
    if (!is_set(options->webhooks))
        return ERR_OK;
    struct webhooks *webhooks = calloc(1, sizeof *webhooks);
    if (webhooks == NULL)
        return ERR_NO_MEMORY;
    webhooks->file.path = options->webhooks;
    enum err error = webhooks_read_file(&webhooks->file, &webhooks->first, detail, sizeof detail);
    if (error != ERR_OK) {
        snprintf(why, why_cap, "--webhooks: %s", detail);
        error = error == ERR_NO_MEMORY ? error : ERR_INVALID_FIELD;
        goto free_webhooks;
    }
    error = webhook_sender_new(options->webhook_proxy, &webhooks->sender);
    if (error != ERR_OK)
        goto free_file;
    error = ERR_SYSTEM;
    if (pthread_mutex_init(&webhooks->lock, NULL) != 0)
        goto free_sender;
    if (pthread_cond_init(&webhooks->changed, NULL) != 0)
        goto destroy_lock;
    (void)watched_file_take(&webhooks->file);
    webhooks->n_lines = webhooks->first->n;
    webhooks_warn_if_public(webhooks);
    webhooks_warn_of_types(events, webhooks->first);
    list_init(&webhooks->list);
    webhooks->events = events;
    webhooks->allows_plain = options->insecure;
    webhooks->random = (uint64_t)clock_monotonic_us() * 2654435769u | 1;
    webhooks->on_gone = webhook_add_consumers;
    webhooks->on_idle = webhook_free_if_gone;
    webhooks->source.print = print_family;
    webhooks->event_listener.on_events = on_events;
    webhooks->serving_listener.on_gained = on_gained;
    webhooks->serving_listener.on_lost = on_lost;
    timer_init(&webhooks->leftovers_timer, webhooks_on_leftovers_timer);
    timer_init(&webhooks->tests_timer, on_tests_timer);
    list_init(&webhooks->tests);
    serving_listen(events->serving, &webhooks->serving_listener);
    atomic_store(&events->node->awaits_webhooks, true);
    *ret_webhooks = webhooks;
    return ERR_OK;
destroy_lock:
    pthread_mutex_destroy(&webhooks->lock);
free_sender:
    webhook_sender_free(webhooks->sender);
free_file:
    webhook_file_free(webhooks->first);
free_webhooks:
    free(webhooks);
    return error;
}

static void deliver_begin(struct letter *letter)
{
    struct webhooks *webhooks = CONTAINER_OF(letter, struct webhooks, begin_letter);
    webhooks_begin(webhooks);
}

void webhooks_start(struct webhooks *webhooks)
{
    if (webhooks == NULL)
        return;
    if (webhook_sender_start(webhooks->sender) != ERR_OK) {
        log_event(LOG_ERROR, "no webhook is sent: no thread can be started",
                  LOG_TEXT("advice", "raise the limit of processes, or of memory"));
        return;
    }
    webhooks->is_started = true;
    metrics_add_source(&webhooks->source);
    event_log_listen(webhooks->events->log, &webhooks->event_listener);
    webhooks_post(webhooks, &webhooks->begin_letter, deliver_begin);
}

/* Until `is_done`, or so many milliseconds. Under the lock. */
static void wait_for(struct webhooks *webhooks, const bool *is_done, int64_t ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t nanoseconds = until.tv_nsec + ms * 1000000;
    until.tv_sec += nanoseconds / 1000000000;
    until.tv_nsec = nanoseconds % 1000000000;
    int code = 0;
    while (!*is_done && code == 0)
        code = pthread_cond_clockwait(&webhooks->changed, &webhooks->lock, CLOCK_MONOTONIC, &until);
}

enum err webhooks_settle(struct webhooks *webhooks, char *why, size_t why_cap)
{
    if (webhooks == NULL)
        return ERR_OK;
    if (!webhooks->is_started) {
        snprintf(why, why_cap, "the webhooks cannot start: no thread can be started");
        return ERR_SYSTEM;
    }
    pthread_mutex_lock(&webhooks->lock);
    wait_for(webhooks, &webhooks->are_settled, WEBHOOKS_SETTLE_MS);
    enum err error = webhooks->conflict[0] != '\0' ? ERR_CONFLICT : ERR_OK;
    if (error != ERR_OK)
        snprintf(why, why_cap, "%s", webhooks->conflict);
    pthread_mutex_unlock(&webhooks->lock);
    return error;
}

/* ---- the stop ---- */

static void deliver_tests_end(struct letter *letter)
{
    struct webhooks *webhooks = CONTAINER_OF(letter, struct webhooks, tests_letter);
    atomic_store(&webhooks->is_ending_posted, false);
    timer_set(webhook_sender_timers(webhooks->sender), &webhooks->tests_timer,
              clock_monotonic_ms() + WEBHOOKS_FINISH_MS);
}

void webhooks_end_tests(struct webhooks *webhooks)
{
    if (webhooks != NULL && !atomic_exchange(&webhooks->is_ending_posted, true))
        webhooks_post(webhooks, &webhooks->tests_letter, deliver_tests_end);
}

static void deliver_stop(struct letter *letter)
{
    struct webhooks *webhooks = CONTAINER_OF(letter, struct webhooks, stop_letter);
    webhooks->is_stopping = true;
    webhooks_begin_work(webhooks);
    webhooks_end_work(webhooks); /* it may be quiet already */
}

static void deliver_cut(struct letter *letter)
{
    struct webhooks *webhooks = CONTAINER_OF(letter, struct webhooks, cut_letter);
    LIST_FOR_EACH(link, &webhooks->list)
    {
        struct webhook *webhook = CONTAINER_OF(link, struct webhook, link);
        for (unsigned i = 0; i < STORE_PARTITIONS; i++)
            webhook_run_cut(&webhook->runs[i]);
    }
    webhooks_cut_tests(webhooks);
}

void webhooks_stop(struct webhooks *webhooks)
{
    if (webhooks == NULL || !webhooks->is_started)
        return;
    webhooks->is_started = false;
    webhooks_post(webhooks, &webhooks->stop_letter, deliver_stop);
    pthread_mutex_lock(&webhooks->lock);
    wait_for(webhooks, &webhooks->is_quiet, WEBHOOKS_FINISH_MS);
    if (!webhooks->is_quiet) {
        webhooks_post(webhooks, &webhooks->cut_letter, deliver_cut);
        wait_for(webhooks, &webhooks->is_quiet, WEBHOOKS_FINISH_MS);
    }
    pthread_mutex_unlock(&webhooks->lock);
    webhook_sender_stop(webhooks->sender);
}

void webhooks_close(struct webhooks *webhooks)
{
    if (webhooks == NULL)
        return;
    webhooks->is_stopping = true; /* its thread has ended, or never ran */
    webhook_sender_stop(webhooks->sender);
    webhook_sender_deliver(webhooks->sender);
}

void webhooks_free(struct webhooks *webhooks)
{
    if (webhooks == NULL)
        return;
    webhooks_close(webhooks);
    metrics_remove_source(&webhooks->source);
    while (!list_is_empty(&webhooks->list))
        webhook_free(CONTAINER_OF(webhooks->list.next, struct webhook, link));
    webhook_file_free(webhooks->first);
    webhook_sender_free(webhooks->sender);
    pthread_cond_destroy(&webhooks->changed);
    pthread_mutex_destroy(&webhooks->lock);
    free(webhooks);
}
