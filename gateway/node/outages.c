#include "gateway/node/outages.h"

#include <stdbool.h>
#include <string.h>

void outages_init(struct outages *outages)
{
    outages->n = 0;
    pthread_mutex_init(&outages->lock, NULL);
}

void outages_fini(struct outages *outages)
{
    pthread_mutex_destroy(&outages->lock);
}

static bool is_lasting(const struct outages *outages)
{
    return outages->n > 0 && outages->all[outages->n - 1].to_ms == INT64_MAX;
}

/* The oldest two become one, with the time between them. */
static void merge_oldest(struct outages *outages)
{
    outages->all[1].from_ms = outages->all[0].from_ms;
    outages->n--;
    memmove(outages->all, outages->all + 1, outages->n * sizeof outages->all[0]);
}

void outages_begin(struct outages *outages, int64_t now_ms)
{
    pthread_mutex_lock(&outages->lock);
    if (!is_lasting(outages)) {
        if (outages->n == OUTAGES_KEPT)
            merge_oldest(outages);
        outages->all[outages->n].from_ms = now_ms;
        outages->all[outages->n++].to_ms = INT64_MAX;
    }
    pthread_mutex_unlock(&outages->lock);
}

void outages_end(struct outages *outages, int64_t now_ms)
{
    pthread_mutex_lock(&outages->lock);
    if (is_lasting(outages))
        outages->all[outages->n - 1].to_ms = now_ms;
    pthread_mutex_unlock(&outages->lock);
}

int64_t outages_since(struct outages *outages, int64_t then_ms, int64_t now_ms)
{
    int64_t away_ms = 0;
    pthread_mutex_lock(&outages->lock);
    for (size_t i = 0; i < outages->n; i++) {
        int64_t from_ms = outages->all[i].from_ms > then_ms ? outages->all[i].from_ms : then_ms;
        int64_t to_ms = outages->all[i].to_ms < now_ms ? outages->all[i].to_ms : now_ms;
        away_ms += to_ms > from_ms ? to_ms - from_ms : 0;
    }
    pthread_mutex_unlock(&outages->lock);
    return away_ms;
}
