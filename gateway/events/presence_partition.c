#include "gateway/events/presence_partition.h"

#include "gateway/base/metrics.h"

enum { EVENT_MAX_BYTES = 4096 };

struct worker *presence_worker(const struct presence_partition *partition)
{
    const struct node *node = partition->presence->events->node;
    return node->workers[store_partition_lane(partition->number, node->n_workers)];
}

void presence_poke(struct presence_partition *partition)
{
    if (!atomic_exchange(&partition->is_posted, true))
        worker_post(presence_worker(partition), &partition->letter, partition->presence->look);
}

static enum err describe_user(const struct presence *presence, const struct client *client,
                              struct buf *out)
{
    char room[CLIENT_DESCRIPTION_BYTES];
    struct event_online online;
    if (!events_keep(presence->events, EVENT_ONLINE) ||
        !presence->events->node->describe_client(client, room, &online))
        return ERR_OK;
    return event_write_online(out, &online);
}

void presence_note_come(struct presence_partition *partition, const struct client *client,
                        bool is_new)
{
    struct span user_id = client_user_id(client);
    struct store *store = partition->presence->events->node->store;
    int64_t came_ms = is_new ? 0 : store_now_of(store, store_partition_user(partition->number));
    struct buf event;
    buf_init(&event, EVENT_MAX_BYTES);
    enum err error = describe_user(partition->presence, client, &event);
    pthread_mutex_lock(&partition->lock);
    if (error == ERR_OK && (!is_new || !presence_table_has(&partition->table, user_id)))
        error = presence_table_came(&partition->table, user_id, buf_span(&event), came_ms);
    presence_note_error(partition, error);
    pthread_mutex_unlock(&partition->lock);
    buf_fini(&event);
}

void presence_note_error(struct presence_partition *partition, enum err error)
{
    if (error == ERR_OK)
        return;
    metrics_count(METRIC_PRESENCE_FORGOTTEN);
    partition->has_forgotten = true;
}
