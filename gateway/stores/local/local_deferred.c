#include "gateway/stores/local/local_deferred.h"

#include "gateway/base/metrics.h"
#include "gateway/store/store_backend.h"
#include "gateway/store/store_event_request.h"
#include "gateway/store/store_upgrade.h"

/* What a session asks for does not wait: it waits as such, and is told that the store is away. */
static bool can_wait(const struct store_request *request)
{
    switch ((enum store_op)request->op) {
    case STORE_OP_PAGE:
        return ((const struct store_page *)(const void *)request)->can_wait;
    case STORE_OP_APPEND:
    case STORE_OP_ACK:
    case STORE_OP_PEEK:
    case STORE_OP_LOOK:
    case STORE_OP_WITHDRAW:
    case STORE_OP_BLOCK:
    case STORE_OP_EVENT_APPEND:
    case STORE_OP_CONSUMERS:
    case STORE_OP_PRESENCE:
    case STORE_OP_PRESENT:
    case STORE_OP_SERVE:
    case STORE_OP_ALERT_END:
        return true;
    default:
        return false; /* it was deferred before, or is answered without the index */
    }
}

static uint64_t bytes_of_events(const struct store_event_append *append)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < append->n; i++)
        bytes += append->events[i].len;
    return bytes;
}

static uint64_t bytes_of_changes(const struct store_presence *presence)
{
    uint64_t bytes = presence->n_changes * sizeof *presence->changes;
    for (size_t i = 0; i < presence->n_changes; i++)
        bytes += presence->changes[i].event.len;
    return bytes;
}

/* What it holds beside itself. */
static uint64_t deferred_bytes(const struct store_request *request)
{
    if (request->op == STORE_OP_EVENT_APPEND)
        return bytes_of_events((const struct store_event_append *)(const void *)request);
    if (request->op == STORE_OP_PRESENCE)
        return bytes_of_changes((const struct store_presence *)(const void *)request);
    if (request->op != STORE_OP_APPEND)
        return 0;
    const struct store_append *append = (const struct store_append *)(const void *)request;
    return append->payload->len + append->n_targets * sizeof *append->targets;
}

static bool keep_request(struct local_deferred *deferred, struct store_request *request,
                         int64_t now_ms)
{
    uint64_t bytes = deferred_bytes(request);
    if (deferred->n == STORE_MAX_AWAITING || deferred->bytes + bytes > STORE_AWAITING_MAX_BYTES)
        return false;
    request->began_ms = now_ms;
    request->next = NULL;
    if (deferred->first == NULL)
        deferred->first = request;
    else
        deferred->last->next = request;
    deferred->last = request;
    deferred->n++;
    deferred->bytes += bytes;
    return true;
}

static struct store_request *take_first(struct local_deferred *deferred)
{
    struct store_request *request = deferred->first;
    deferred->first = request->next;
    deferred->n--;
    deferred->bytes -= deferred_bytes(request);
    request->op |= OP_WAS_DEFERRED;
    return request;
}

/* A clock that was set back ends the wait. */
static bool is_over(const struct store_request *request, int64_t now_ms)
{
    int64_t waited_ms = now_ms - request->began_ms;
    return waited_ms < 0 || waited_ms >= STORE_AWAITED_MS;
}

struct store_request *local_deferred_sort(struct local_deferred *deferred,
                                          struct store_request *requests, int64_t now_ms)
{
    struct store_request *first = NULL;
    struct store_request **last = &first;
    while (deferred->first != NULL && is_over(deferred->first, now_ms)) {
        *last = take_first(deferred);
        last = &(*last)->next;
        metrics_count(METRIC_STORE_AWAITED_LATE);
    }
    while (requests != NULL) {
        struct store_request *request = requests;
        requests = request->next;
        bool has_room = can_wait(request);
        if (has_room && keep_request(deferred, request, now_ms))
            continue;
        if (has_room) {
            request->op |= OP_WAS_DEFERRED;
            metrics_count(METRIC_STORE_AWAITED_REFUSED);
        }
        *last = request;
        last = &request->next;
    }
    *last = NULL;
    return first;
}

struct store_request *local_deferred_take(struct local_deferred *deferred)
{
    struct store_request *first = NULL;
    struct store_request **last = &first;
    while (deferred->first != NULL) {
        *last = take_first(deferred);
        last = &(*last)->next;
    }
    return first;
}

int64_t local_deferred_rest_ms(const struct local_deferred *deferred, int64_t now_ms,
                               int64_t max_ms)
{
    if (deferred->first == NULL)
        return max_ms;
    int64_t rest_ms = deferred->first->began_ms + STORE_AWAITED_MS - now_ms;
    return rest_ms < 0 ? 0 : rest_ms < max_ms ? rest_ms : max_ms;
}
