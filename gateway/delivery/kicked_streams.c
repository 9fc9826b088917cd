#include "gateway/delivery/kicked_streams.h"

#include "gateway/base/metrics.h"

#include <stdlib.h>

/* Whoever comes back though it was told to wait for a day does so within seconds. A worker
 * remembers no more than so many, and then forgets the oldest, which may come back. */
enum { REMEMBER_MS = 30000, KICKS_MAX = 10000 };

struct kick {
    struct list link; /* the oldest first */
    int64_t until_ms;
    size_t user_id_len;
    char user_id[];
};

static void forget(struct worker *worker, struct kick *kick)
{
    list_remove(&kick->link);
    worker->n_kicked_streams--;
    free(kick);
}

static struct kick *oldest(struct worker *worker)
{
    return list_is_empty(&worker->kicked_streams)
               ? NULL
               : CONTAINER_OF(worker->kicked_streams.next, struct kick, link);
}

static void forget_overdue(struct worker *worker)
{
    struct kick *kick;
    while ((kick = oldest(worker)) != NULL && kick->until_ms <= worker_now_ms(worker))
        forget(worker, kick);
}

void kicked_streams_remember(struct worker *worker, struct span user_id)
{
    struct kick *kick = malloc(sizeof *kick + user_id.len);
    if (kick == NULL)
        return;
    forget_overdue(worker);
    if (worker->n_kicked_streams == KICKS_MAX) {
        forget(worker, oldest(worker));
        metrics_count(METRIC_KICKS_FORGOTTEN);
    }
    kick->until_ms = worker_now_ms(worker) + REMEMBER_MS;
    kick->user_id_len = user_id.len;
    memcpy(kick->user_id, user_id.bytes, user_id.len);
    list_append(&worker->kicked_streams, &kick->link);
    worker->n_kicked_streams++;
}

bool kicked_streams_take(struct worker *worker, struct span user_id)
{
    forget_overdue(worker);
    LIST_FOR_EACH(link, &worker->kicked_streams)
    {
        struct kick *kick = CONTAINER_OF(link, struct kick, link);
        if (!span_equal((struct span){kick->user_id, kick->user_id_len}, user_id))
            continue;
        forget(worker, kick);
        return true;
    }
    return false;
}

void kicked_streams_stop(struct worker *worker)
{
    while (!list_is_empty(&worker->kicked_streams))
        forget(worker, oldest(worker));
}
