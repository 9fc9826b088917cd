#include "gateway/events/event_resets.h"

#include <pthread.h>
#include <stdlib.h>

struct noted {
    char consumer[EVENT_CONSUMER_MAX_BYTES];
    size_t consumer_len; /* 0: the row is free */
    struct event_known known;
};

struct event_resets {
    pthread_mutex_t lock;
    struct noted rows[EVENT_RESETS_MAX];
    unsigned next; /* the row at which one that may be taken is looked for */
};

struct event_resets *event_resets_new(void)
{
    struct event_resets *resets = calloc(1, sizeof *resets);
    if (resets != NULL && pthread_mutex_init(&resets->lock, NULL) != 0) {
        free(resets);
        return NULL;
    }
    return resets;
}

void event_resets_free(struct event_resets *resets)
{
    if (resets == NULL)
        return;
    pthread_mutex_destroy(&resets->lock);
    free(resets);
}

static struct noted *find_noted(struct event_resets *resets, struct span consumer)
{
    for (unsigned i = 0; i < EVENT_RESETS_MAX; i++) {
        struct noted *row = &resets->rows[i];
        if (span_equal((struct span){row->consumer, row->consumer_len}, consumer))
            return row;
    }
    return NULL;
}

static struct noted *make_noted(struct event_resets *resets, struct span consumer)
{
    unsigned taken = resets->next;
    for (unsigned i = 0; i < EVENT_RESETS_MAX; i++) {
        unsigned row = (resets->next + i) % EVENT_RESETS_MAX;
        if (resets->rows[row].known.resets != 0)
            continue;
        taken = row;
        break;
    }
    struct noted *row = &resets->rows[taken];
    resets->next = (taken + 1) % EVENT_RESETS_MAX;
    *row = (struct noted){.consumer_len = consumer.len};
    memcpy(row->consumer, consumer.bytes, consumer.len);
    return row;
}

void event_resets_get(struct event_resets *resets, struct span consumer,
                      struct event_known *ret_known)
{
    pthread_mutex_lock(&resets->lock);
    const struct noted *row = find_noted(resets, consumer);
    *ret_known = row == NULL ? (struct event_known){0} : row->known;
    pthread_mutex_unlock(&resets->lock);
}

void event_resets_set(struct event_resets *resets, struct span consumer,
                      const struct event_known *known)
{
    pthread_mutex_lock(&resets->lock);
    struct noted *row = find_noted(resets, consumer);
    if (row == NULL)
        row = make_noted(resets, consumer);
    row->known = *known;
    pthread_mutex_unlock(&resets->lock);
}

void event_resets_acked(struct event_resets *resets, struct span consumer, unsigned gone,
                        unsigned present)
{
    pthread_mutex_lock(&resets->lock);
    struct noted *row = find_noted(resets, consumer);
    if (row == NULL && gone != 0)
        row = make_noted(resets, consumer);
    for (unsigned i = 0; row != NULL && i < EVENT_CURSOR_PARTITIONS; i++) {
        if ((gone & 1u << i) != 0)
            row->known.positions[i].epoch = (struct epoch){0};
    }
    if (row != NULL)
        row->known.resets = (row->known.resets & ~present) | gone;
    pthread_mutex_unlock(&resets->lock);
}

void event_resets_forget(struct event_resets *resets, struct span consumer)
{
    pthread_mutex_lock(&resets->lock);
    struct noted *row = find_noted(resets, consumer);
    if (row != NULL)
        *row = (struct noted){0};
    pthread_mutex_unlock(&resets->lock);
}

bool event_known_shows_reset(const struct event_known *known, unsigned partition,
                             struct epoch epoch, uint64_t position)
{
    const struct event_position *found = &known->positions[partition];
    bool is_present = !epoch_is_none(found->epoch) && epoch_equal(found->epoch, epoch);
    if ((known->resets & 1u << partition) != 0)
        return !is_present || position <= found->seq;
    return !is_present && !epoch_is_none(found->epoch);
}
