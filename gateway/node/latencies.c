#include "gateway/node/latencies.h"

#include "gateway/base/metrics.h"
#include "gateway/node/node.h"
#include "gateway/node/worker.h"

#include <stdlib.h>

static struct latency *latency_at(struct latencies *list, uint32_t i)
{
    return list->followed != NULL ? &list->followed[i] : &list->only;
}

static enum err latencies_reserve(struct latencies *list)
{
    uint32_t cap = list->followed == NULL ? 1 : list->cap;
    if (list->end < cap)
        return ERR_OK;
    if (cap == LATENCIES_MAX)
        return ERR_FULL;
    struct latency *followed = realloc(list->followed, 4 * cap * sizeof *followed);
    if (followed == NULL)
        return ERR_NO_MEMORY;
    if (list->followed == NULL)
        followed[0] = list->only;
    list->followed = followed;
    list->cap = 4 * cap;
    return ERR_OK;
}

void latencies_begin(struct client *client, const struct notification *note)
{
    struct client_more *more = client_more(client);
    if (more == NULL || latencies_reserve(&more->latencies) != ERR_OK)
        return;
    struct latencies *list = &more->latencies;
    *latency_at(list, list->end++) = (struct latency){note->seq, note->time_ms};
}

void latencies_end(struct client *client, uint64_t seq)
{
    struct latencies *list = &client->more->latencies;
    if (list->first == list->end || latency_at(list, list->first)->seq > seq)
        return;
    int64_t now_ms = store_now_of(client_worker(client)->node->store, client_user_id(client));
    while (list->first < list->end && latency_at(list, list->first)->seq <= seq)
        metrics_observe_ms(HISTOGRAM_PUSH_TO_ACK,
                           now_ms - latency_at(list, list->first++)->accepted_ms);
    if (list->first < list->end)
        return;
    free(list->followed);
    *list = (struct latencies){0};
    client_trim(client);
}
