#include "gateway/delivery/kicked_streams.h"

#include "gateway/base/metrics.h"

#include <stdlib.h>

enum { REMEMBER_MS = 30000, KICKS_MAX = 10000 };

struct kick {
    struct list link; /* the oldest first */
    int64_t until_ms;
    size_t user_id_len;
    char user_id[];
};

struct kicked_streams {
    struct list kicks;
    unsigned n;
};

enum err kicked_streams_new(struct worker *worker)
{
    struct kicked_streams *streams = calloc(1, sizeof *streams);
    if (streams == NULL)
        return ERR_NO_MEMORY;
    list_init(&streams->kicks);
    worker->kicked_streams = streams;
    return ERR_OK;
}

static void forget_kick(struct kicked_streams *streams, struct kick *kick)
{
    list_remove(&kick->link);
    streams->n--;
    free(kick);
}

static struct kick *oldest_kick(struct kicked_streams *streams)
{
    return list_is_empty(&streams->kicks) ? NULL
                                          : CONTAINER_OF(streams->kicks.next, struct kick, link);
}

static void forget_overdue(struct kicked_streams *streams, int64_t now_ms)
{
    struct kick *kick;
    while ((kick = oldest_kick(streams)) != NULL && kick->until_ms <= now_ms)
        forget_kick(streams, kick);
}

/* Before those that are remembered for longer, which only another process's are. */
static void insert_kick(struct kicked_streams *streams, struct kick *kick)
{
    struct list *before = streams->kicks.prev;
    while (before != &streams->kicks &&
           CONTAINER_OF(before, struct kick, link)->until_ms > kick->until_ms)
        before = before->prev;
    list_append(before->next, &kick->link);
    streams->n++;
}

void kicked_streams_adopt(struct worker *worker, struct span user_id, int64_t left_ms)
{
    struct kicked_streams *streams = worker->kicked_streams;
    struct kick *kick = malloc(sizeof *kick + user_id.len);
    if (kick == NULL)
        return;
    forget_overdue(streams, worker_now_ms(worker));
    if (streams->n == KICKS_MAX) {
        forget_kick(streams, oldest_kick(streams));
        metrics_count(METRIC_KICKS_FORGOTTEN);
    }
    kick->until_ms = worker_now_ms(worker) + left_ms;
    kick->user_id_len = user_id.len;
    memcpy(kick->user_id, user_id.bytes, user_id.len);
    insert_kick(streams, kick);
}

void kicked_streams_remember(struct worker *worker, struct span user_id)
{
    kicked_streams_adopt(worker, user_id, REMEMBER_MS);
}

void kicked_streams_each(const struct worker *worker,
                         void (*visit)(void *owner, struct span user_id, int64_t left_ms),
                         void *owner)
{
    const struct list *kicks = &worker->kicked_streams->kicks;
    LIST_FOR_EACH(link, kicks)
    {
        const struct kick *kick = CONTAINER_OF(link, const struct kick, link);
        visit(owner, (struct span){kick->user_id, kick->user_id_len},
              kick->until_ms - worker_now_ms(worker));
    }
}

bool kicked_streams_take(struct worker *worker, struct span user_id)
{
    struct kicked_streams *streams = worker->kicked_streams;
    forget_overdue(streams, worker_now_ms(worker));
    LIST_FOR_EACH(link, &streams->kicks)
    {
        struct kick *kick = CONTAINER_OF(link, struct kick, link);
        if (!span_equal((struct span){kick->user_id, kick->user_id_len}, user_id))
            continue;
        forget_kick(streams, kick);
        return true;
    }
    return false;
}

void kicked_streams_free(struct worker *worker)
{
    struct kicked_streams *streams = worker->kicked_streams;
    if (streams == NULL)
        return;
    while (!list_is_empty(&streams->kicks))
        forget_kick(streams, oldest_kick(streams));
    free(streams);
    worker->kicked_streams = NULL;
}
