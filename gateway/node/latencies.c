#include "gateway/node/latencies.h"

#include "gateway/base/metrics.h"
#include "gateway/node/node.h"
#include "gateway/node/worker.h"

#include <stdlib.h>

struct latency {
    uint64_t seq;
    int64_t accepted_ms;
};

/* Rising numbers; there only while something is on its way, so that an idle user pays nothing. */
struct latencies {
    uint32_t first;
    uint32_t end;
    uint32_t cap;
    struct latency followed[];
};

static struct latencies *reserve_latency(struct client *client)
{
    struct latencies *list = client->latencies;
    if (list != NULL && list->end < list->cap)
        return list;
    if (list != NULL && list->cap == LATENCIES_MAX)
        return NULL;
    uint32_t cap = list == NULL ? 1 : 4 * list->cap;
    list = realloc(list, sizeof *list + cap * sizeof list->followed[0]);
    if (list == NULL)
        return NULL;
    if (client->latencies == NULL)
        *list = (struct latencies){0};
    list->cap = cap;
    client->latencies = list;
    return list;
}

void latencies_begin(struct client *client, const struct notification *note)
{
    struct latencies *list = reserve_latency(client);
    if (list != NULL)
        list->followed[list->end++] = (struct latency){note->seq, note->time_ms};
}

void latencies_end(struct client *client, uint64_t seq)
{
    struct latencies *list = client->latencies;
    if (list == NULL || list->followed[list->first].seq > seq)
        return;
    int64_t now_ms = store_now_ms(client->worker->node->store);
    while (list->first < list->end && list->followed[list->first].seq <= seq)
        metrics_observe_ms(HISTOGRAM_PUSH_TO_ACK,
                           now_ms - list->followed[list->first++].accepted_ms);
    if (list->first < list->end)
        return;
    free(list);
    client->latencies = NULL;
}
