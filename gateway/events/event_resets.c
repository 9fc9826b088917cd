#include "gateway/events/event_resets.h"

#include "proto/note/event_cursor.h"

#include <pthread.h>
#include <stdlib.h>

struct noted {
    char consumer[EVENT_CONSUMER_MAX_BYTES];
    size_t consumer_len;
    unsigned partitions; /* 0: the row is free */
};

struct event_resets {
    pthread_mutex_t lock;
    struct noted rows[EVENT_RESETS_MAX];
    unsigned next; /* the row that is taken when none is free */
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
        if (row->partitions != 0 &&
            span_equal((struct span){row->consumer, row->consumer_len}, consumer))
            return row;
    }
    return NULL;
}

static struct noted *make_noted(struct event_resets *resets, struct span consumer)
{
    struct noted *row = NULL;
    for (unsigned i = 0; i < EVENT_RESETS_MAX && row == NULL; i++) {
        if (resets->rows[i].partitions == 0)
            row = &resets->rows[i];
    }
    if (row == NULL)
        row = &resets->rows[resets->next++ % EVENT_RESETS_MAX];
    row->partitions = 0;
    row->consumer_len = consumer.len;
    memcpy(row->consumer, consumer.bytes, consumer.len);
    return row;
}

static void note_partitions(struct event_resets *resets, struct span consumer, unsigned partitions,
                            bool is_more)
{
    pthread_mutex_lock(&resets->lock);
    struct noted *row = find_noted(resets, consumer);
    if (row == NULL && partitions != 0)
        row = make_noted(resets, consumer);
    if (row != NULL)
        row->partitions = is_more ? row->partitions | partitions : partitions;
    pthread_mutex_unlock(&resets->lock);
}

unsigned event_resets_of(struct event_resets *resets, struct span consumer)
{
    pthread_mutex_lock(&resets->lock);
    const struct noted *row = find_noted(resets, consumer);
    unsigned partitions = row == NULL ? 0 : row->partitions;
    pthread_mutex_unlock(&resets->lock);
    return partitions;
}

void event_resets_set(struct event_resets *resets, struct span consumer, unsigned partitions)
{
    note_partitions(resets, consumer, partitions, false);
}

void event_resets_add(struct event_resets *resets, struct span consumer, unsigned partitions)
{
    note_partitions(resets, consumer, partitions, true);
}
