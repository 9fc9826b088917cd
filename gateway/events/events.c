/* The parts of the event log, and when each begins and ends. A part has its own file; what several
 * of them need is in events_struct.h. All are made before the store is opened and begin when the
 * subscriber port is open; at the end leases are given back first, then nothing more is asked of
 * the store, and they are freed when it is closed. */
#include "gateway/events/events.h"

#include "gateway/base/clock.h"
#include "gateway/events/alerts.h"
#include "gateway/events/client_messages.h"
#include "gateway/events/event_gauges.h"
#include "gateway/events/event_log.h"
#include "gateway/events/event_pulls.h"
#include "gateway/events/event_resets.h"
#include "gateway/events/presence.h"
#include "gateway/events/serving.h"
#include "gateway/events/webhooks.h"
#include "gateway/node/worker.h"

#include <stdio.h>
#include <stdlib.h>

enum { LEAVE_MS = 1000 };

/* The types that --events names. */
static enum err read_types(const struct options *options, unsigned *ret_types, char *why,
                           size_t why_cap)
{
    unsigned types = 0;
    for (size_t i = 0; i < options->events.n; i++) {
        enum event_type type;
        struct span text = span_of(options->events.values[i]);
        if (!event_type_find(text, &type)) {
            snprintf(why, why_cap, "--events: %.*s is no type of events; %s",
                     (int)(text.len < 64 ? text.len : 64), text.bytes, event_type_hint(text));
            return ERR_INVALID_FIELD;
        }
        if (type != EVENT_GAP) /* readers are told of gaps in any case */
            types |= EVENT_BIT(type);
    }
    *ret_types = types;
    return ERR_OK;
}

enum err events_check(const struct options *options, char *why, size_t why_cap)
{
    unsigned types;
    enum err error = read_types(options, &types, why, why_cap);
    if (error == ERR_OK)
        error = client_messages_check(options, types, why, why_cap);
    return error == ERR_OK ? webhooks_check(options, types, why, why_cap) : error;
}

enum err events_new(struct node *node, char *why, size_t why_cap)
{
    unsigned types;
    const struct options *options = atomic_load(&node->options);
    enum err error = events_check(options, why, why_cap);
    if (error == ERR_OK)
        error = read_types(options, &types, why, why_cap);
    if (error != ERR_OK || types == 0)
        return error;
    struct events *events = calloc(1, sizeof *events);
    if (events == NULL)
        return ERR_NO_MEMORY;
    events->node = node;
    events->types = types;
    node->events = events; /* what is made of it is freed with the node */
    events->resets = event_resets_new();
    events->pulls = event_pulls_new(events);
    if (events->resets == NULL || events->pulls == NULL)
        return ERR_NO_MEMORY;
    error = event_log_new(events, &events->log);
    if (error == ERR_OK)
        error = presence_new(events, &events->presence);
    if (error == ERR_OK)
        error = serving_new(events, &events->serving);
    if (error == ERR_OK)
        error = event_gauges_new(events, &events->gauges);
    if (error == ERR_OK)
        error = client_messages_new(events, &events->client_messages);
    if (error == ERR_OK)
        error = webhooks_new(events, &events->webhooks, why, why_cap);
    if (error == ERR_OK && events_keep(events, EVENT_UNACKNOWLEDGED))
        error = alerts_new(events, &events->alerts);
    return error;
}

void events_start(struct node *node)
{
    struct events *events = node->events;
    if (events == NULL)
        return;
    atomic_store(&events->is_started, true);
    event_log_start(events->log);
    event_gauges_start(events->gauges);
    presence_start(events->presence);
    serving_start(events->serving);
    webhooks_start(events->webhooks);
}

enum err events_settle(struct node *node, char *why, size_t why_cap)
{
    return node->events == NULL ? ERR_OK : webhooks_settle(node->events->webhooks, why, why_cap);
}

void events_reload(struct node *node, bool must)
{
    if (node->events != NULL)
        webhooks_reload(node->events->webhooks, must);
}

void events_on_second(struct worker *worker)
{
    struct events *events = worker->node->events;
    if (events == NULL || !atomic_load(&events->is_started))
        return;
    event_log_on_second(events->log, worker);
    event_gauges_on_second(events->gauges, worker);
    presence_on_second(events->presence, worker);
    client_messages_on_second(events->client_messages, worker);
}

void events_leave(struct node *node)
{
    struct events *events = node->events;
    if (events == NULL || !atomic_load(&events->is_started))
        return;
    webhooks_stop(events->webhooks);
    int64_t until_ms = clock_monotonic_ms() + (atomic_load(&node->is_store_up) ? LEAVE_MS : 0);
    serving_leave(events->serving, until_ms);
    presence_leave(events->presence, until_ms);
}

/* ---- an upgrade ---- */

void events_flush(struct node *node, int64_t until_ms)
{
    if (node->events != NULL)
        presence_flush(node->events->presence, until_ms);
}

void events_let_go(struct node *node)
{
    if (node->events == NULL)
        return;
    presence_let_go(node->events->presence);
    serving_let_go(node->events->serving);
}

struct span events_presence_name(const struct node *node)
{
    return node->events == NULL ? SPAN_NONE : presence_name(node->events->presence);
}

void events_adopt_name(struct node *node, struct span name)
{
    if (node->events != NULL)
        presence_adopt_name(node->events->presence, name);
}

/* ---- the end ---- */

void events_end_waits(const struct worker *worker)
{
    const struct events *events = worker->node->events;
    if (events == NULL)
        return;
    event_pulls_end_waits(events->pulls, worker);
    webhooks_end_tests(events->webhooks);
}

void events_stop(struct node *node)
{
    struct events *events = node->events;
    if (events == NULL)
        return;
    alerts_stop(events->alerts);
    atomic_store(&events->is_stopped, true);
    if (events->log != NULL)
        event_log_stop(events->log);
    if (events->presence != NULL)
        presence_stop(events->presence);
    if (events->serving != NULL)
        serving_stop(events->serving);
}

void events_close(struct node *node)
{
    if (node->events != NULL)
        webhooks_close(node->events->webhooks);
}

void events_free(struct events *events)
{
    if (events == NULL)
        return;
    alerts_free(events->alerts);
    webhooks_free(events->webhooks);
    event_gauges_free(events->gauges);
    serving_free(events->serving);
    presence_free(events->presence);
    client_messages_free(events->client_messages);
    event_log_free(events->log);
    event_pulls_free(events->pulls);
    event_resets_free(events->resets);
    free(events);
}
